"""The double's command line, its settings and what it refuses to start with."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.doubles.mirror import Mirror
from tests.doubles.ollama.completion import cut
from tests.doubles.ollama.settings import FOREVER, parse_host, seconds
from tests.doubles.ollama_process import OllamaProcess, Reply, free_port, unpack, wait_for


def run(binary: Path, *arguments: str, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    variables = {"PATH": os.environ["PATH"], **environment}
    return subprocess.run([binary, *arguments], env=variables, capture_output=True, text=True, timeout=30, check=False)


def test_version_names_the_running_server_or_the_client(binary: Path, ollama: OllamaProcess) -> None:
    found = run(binary, "--version", environment={"OLLAMA_HOST": f"127.0.0.1:{ollama.port}"})
    assert found.stdout == "ollama version is 0.32.15\n"
    alone = run(binary, "--version", environment={"OLLAMA_HOST": f"127.0.0.1:{free_port()}"})
    assert alone.stdout.splitlines()[-1] == "Warning: client version is 0.32.15"


def test_without_home_it_does_not_start(binary: Path) -> None:
    failed = run(binary, "serve", environment={})
    assert (failed.returncode, failed.stderr) == (1, "Error: $HOME is not defined\n")


def test_a_port_in_use_is_named(binary: Path, ollama: OllamaProcess, tmp_path: Path) -> None:
    address = f"127.0.0.1:{ollama.port}"
    failed = run(binary, "serve", environment={"HOME": str(tmp_path), "OLLAMA_HOST": address})
    assert failed.returncode == 1
    assert failed.stderr.endswith(f"listen tcp {address}: bind: address already in use\n")


@pytest.fixture
def reachable() -> Iterator[Path]:
    """A folder that any account can reach, unlike pytest's own."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


def _runs(command: list[str]) -> bool:
    return subprocess.run(command, check=False, capture_output=True).returncode == 0


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("models", "Error: mkdir {models}: permission denied: ensure path elements are traversable\n"),
        ("home", "Error: could not create directory mkdir {home}/.ollama: permission denied\n"),
    ],
)
def test_a_folder_that_it_may_not_write_is_named(reachable: Path, fault: str, message: str) -> None:
    prefix = ["setpriv", "--reuid", "65534", "--clear-groups"] if os.geteuid() == 0 else []
    candidates = (Path(sys.executable).resolve(), Path("/usr/bin/python3"))
    python = next(
        (path for path in candidates if _runs([*prefix, "sh", "-c", 'exec "$0" -c "import tomllib"', str(path)])), None
    )
    if python is None:
        pytest.skip("an unprivileged account reaches no interpreter here")
    binary = unpack(reachable / "release", python)
    home, closed = reachable / "home", reachable / "closed"
    for folder in (home, closed):
        folder.mkdir()
        folder.chmod(0o777)
    home.chmod(0o777 if fault == "models" else 0o555)
    closed.chmod(0o555)
    environment = {"HOME": str(home), "OLLAMA_MODELS": str(closed / "models"), "PATH": os.environ["PATH"]}
    failed = subprocess.run([*prefix, binary, "serve"], env=environment, capture_output=True, text=True, check=False)
    assert failed.returncode == 1
    assert failed.stderr == message.format(models=closed / "models", home=home)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("", ("127.0.0.1", 11434)),
        ("10.0.0.1", ("10.0.0.1", 11434)),
        (":1234", ("0.0.0.0", 1234)),
        ("127.0.0.1:99999", ("127.0.0.1", 11434)),
        ("127.0.0.1:nonsense", ("127.0.0.1", 11434)),
        ("http://example.org", ("example.org", 80)),
        ("[::1]:1234", ("::1", 1234)),
    ],
)
def test_ollama_host_is_read_as_ollama_does(text: str, address: tuple[str, int]) -> None:
    assert parse_host(text) == address


@pytest.mark.parametrize(("value", "expected"), [(5, 5), ("5m", 300), ("1h30m", 5400), (-1, FOREVER), ("-1s", FOREVER)])
def test_keep_alive_is_seconds_or_a_duration(value: object, expected: float) -> None:
    assert seconds(value) == expected


def test_a_prompt_that_does_not_fit_keeps_its_head_and_half_a_context_of_its_end() -> None:
    tokens = list(range(6033))
    assert cut(tokens, 8192) == tokens
    # The recordings show 6,033 tokens sent and 2,050 evaluated with a context of 4,096.
    assert cut(tokens, 4096) == [*range(4), *tokens[-2046:]]


@pytest.fixture
def small(binary: Path, tmp_path: Path, gguf: Path) -> Iterator[OllamaProcess]:
    """A server whose models have a context of 256 tokens."""
    with (
        Mirror(tmp_path) as mirror,
        OllamaProcess(binary, tmp_path, environment={"OLLAMA_CONTEXT_LENGTH": "256"}) as ollama,
    ):
        mirror.registry.add("smollm2:135m", gguf)
        mirror.registry.place("smollm2:135m", ollama.models)
        yield ollama


def ask(ollama: OllamaProcess, prompt: str, **more: Any) -> Reply:
    messages = [{"role": "user", "content": prompt}]
    return ollama.call("POST", "/api/chat", {"model": "smollm2:135m", "stream": False, "messages": messages, **more})


def test_a_long_prompt_is_cut_silently_unless_that_is_forbidden(small: OllamaProcess) -> None:
    prompt, options = "word " * 300 + "How many?", {"num_predict": 3}
    reply = ask(small, prompt, options=options)
    assert (reply.status, reply.values[0]["prompt_eval_count"]) == (200, 4 + 126)
    refused = ask(small, prompt, options=options, truncate=False)
    assert refused.status == 400
    assert re.match(
        r"request \(3\d\d tokens\) exceeds the available context size \(256 tokens\)", refused.values[0]["error"]
    )


def test_an_answer_ends_at_the_context_where_the_model_may_not_forget_its_beginning(small: OllamaProcess) -> None:
    prompt, options = "Write a very long story.", {"temperature": 0, "num_ctx": 64}
    ended = ask(small, prompt, options=options, shift=False).values[0]
    assert (ended["done_reason"], ended["prompt_eval_count"] + ended["eval_count"]) == ("length", 64)
    longer = ask(small, prompt, options={**options, "num_predict": 70}).values[0]
    assert (longer["done_reason"], longer["eval_count"]) == ("length", 70)


def test_an_idle_model_is_unloaded_after_its_keep_alive(ollama: OllamaProcess, mirror: Mirror) -> None:
    mirror.registry.place("smollm2:135m", ollama.models)
    ollama.call("POST", "/api/generate", {"model": "smollm2:135m", "keep_alive": "1s"})
    assert len(ollama.call("GET", "/api/ps").values[0]["models"]) == 1
    wait_for(lambda: ollama.call("GET", "/api/ps").values[0]["models"] == [], "the model is unloaded")


def test_a_client_that_leaves_stops_the_generation(ollama: OllamaProcess, mirror: Mirror) -> None:
    mirror.registry.place("smollm2:135m", ollama.models)
    messages = [{"role": "user", "content": "Write a long story."}]
    body = {"model": "smollm2:135m", "messages": messages, "options": {"num_predict": 4000, "temperature": 0}}
    with ollama.open("POST", "/api/chat", body) as response:
        assert response.readline()
    # The only slot is free again: another request is answered long before 4,000 tokens would be there.
    short = {**body, "stream": False, "options": {"num_predict": 1}}
    assert ollama.call("POST", "/api/chat", short).status == 200
