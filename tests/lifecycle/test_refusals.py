"""What cannot work gives one clear error, and leaves the lab that runs as it is."""

import json
import os
import shutil
import socket
import urllib.error
from pathlib import Path

import pytest

from tests.conftest import lab_variables
from tests.support.lab import Lab, playbook

pytestmark = pytest.mark.lab


@pytest.fixture(autouse=True)
def still_running(lab: Lab):
    """Whatever was refused, the lab answers afterwards with the same processes."""
    before = lab.pid("gateway"), lab.pid("database"), lab.pid("runtime"), lab.pid("jupyterlab")
    yield
    assert (lab.pid("gateway"), lab.pid("database"), lab.pid("runtime"), lab.pid("jupyterlab")) == before
    assert lab.is_ready()


def refused(variables: dict[str, object], *arguments: str, **environment: str) -> str:
    run = playbook("site", variables, *arguments, **environment)
    assert run.returncode != 0, run.stdout
    return " ".join((run.stdout + run.stderr).split())


def test_wrong_variables_are_named_all_at_once(lab: Lab):
    wrong = {"name": "mine", "context": 2048, "llama_cpp": {"url": "http://127.0.0.1:9/a.gguf"}}
    words = refused(lab.variables | {"hub_port": "abc", "lab_runtime": "vllm", "lab_models": [wrong]})
    assert "hub_port='abc': not a port number" in words
    assert "lab_runtime='vllm': value of lab_runtime must be one of: auto, ollama, llama_cpp" in words
    assert "lab_models[mine].llama_cpp.sha256=None: no sha256 digest" in words


def test_a_wrong_value_for_any_role_is_named_before_anything_is_touched(lab_folder: Path):
    numbers = ["database_max_connections", "gateway_silence_timeout", "hub_start_timeout", "llama_cpp_threads"]
    numbers += ["models_retries", "ollama_start_timeout", "smoke_timeout", "service_stop_timeout"]
    wrong = dict.fromkeys([*numbers, "usage_refresh_seconds"], "abc")
    words = refused(lab_variables(lab_folder / "never") | wrong | {"docker_packages_from": "abc", "hubport": 4100})
    for name in wrong:
        assert f"{name}='abc': not of type int" in words
    assert "docker_packages_from='abc': value of docker_packages_from must be one of" in words
    assert "hubport: no such variable. Did you mean hub_port?" in words
    assert not (lab_folder / "never").exists()


def test_model_files_that_are_none_are_named(lab: Lab):
    files = {"absent": "/nonexistent/mine.gguf", "foreign": "/etc/passwd"}
    models = [{"name": name, "context": 2048, "llama_cpp": {"file": file}} for name, file in files.items()]
    words = refused(lab.variables | {"lab_models": models})
    assert "lab_models[absent].llama_cpp.file='/nonexistent/mine.gguf': it cannot be read: No such file" in words
    assert "lab_models[foreign].llama_cpp.file='/etc/passwd': it is no GGUF file" in words


def test_an_occupied_port_names_its_holder(lab: Lab):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        words = refused(lab.variables | {"hub_port": port})
    assert f"hub_port={port}: the port is taken by" in words
    assert f"(pid {os.getpid()}" in words


def test_an_unplugged_package_index_is_named_with_the_remedy(lab: Lab, lab_folder: Path):
    home = lab_folder / "unplugged"
    settings = {"UV_DEFAULT_INDEX": "http://127.0.0.1:9/simple", "UV_CACHE_DIR": str(lab_folder / "no-cache")}
    try:
        words = refused(lab_variables(home), **settings)
        assert "PyPI does not answer" in words
        assert "UV_DEFAULT_INDEX" in words
        assert "nothing that runs was touched" in words
        assert not list(home.glob("venvs/[!.]*")), "nothing is left half-made"
    finally:
        shutil.rmtree(home, ignore_errors=True)


def test_an_unknown_model_is_refused_with_its_name(lab: Lab):
    with pytest.raises(urllib.error.HTTPError) as error:
        lab.hub("/v1/chat/completions", {"model": "gpt-9", "messages": [{"role": "user", "content": "hi"}]})
    assert error.value.code in (400, 404)
    assert "gpt-9" in json.loads(error.value.read())["error"]["message"]


def test_a_prompt_longer_than_the_context_is_refused_with_sizes(lab: Lab):
    body = {"model": lab.model, "messages": [{"role": "user", "content": "word " * 6000}], "max_tokens": 4}
    with pytest.raises(urllib.error.HTTPError) as error:
        lab.hub("/v1/chat/completions", body)
    assert error.value.code == 400
    message = json.loads(error.value.read())["error"]["message"]
    assert "4096" in message
    assert "60" in message
