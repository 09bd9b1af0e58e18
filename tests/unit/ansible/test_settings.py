"""The preflight refuses wrong variables with their name, their value and the remedy."""

import copy

import pytest
import yaml

from ansible.module_utils import lab_settings
from tests.support.lab import ROOT

CATALOGUE = yaml.safe_load((ROOT / "ansible/group_vars/all/models.yml").read_text())["lab_models"]

SOUND = {
    "lab_home": "/srv/lab",
    "lab_bind_address": "127.0.0.1",
    "hub_cors_origins": [],
    "hub_key_routes_extra": [],
    "hub_gateway_digest": "",
    "hub_database_digest": "",
    "lab_parallel_requests": 2,
    "notebook_budget": 10.0,
}


def changed(position: int, **values: object) -> list[dict]:
    models = copy.deepcopy(CATALOGUE)
    models[position].update(values)
    return models


def one(**entry: object) -> list[dict]:
    return [{"name": "a", "context": 512, **entry}]


def test_the_shipped_catalogue_is_sound():
    assert lab_settings.check_catalogue(CATALOGUE) == []


@pytest.mark.parametrize(
    ("models", "words"),
    [
        ([], ["lab_models", "not a list"]),
        ("smollm2", ["lab_models='smollm2'", "not a list"]),
        ([{"context": 1}], ["lab_models[0]", "no valid name"]),
        (changed(0, name="../etc"), ["lab_models[0]", "no valid name"]),
        (CATALOGUE + CATALOGUE[:1], ["lab_models[qwen2.5]", "listed twice"]),
        (changed(0, context="many"), ["lab_models[qwen2.5]", "'context'", "'many'", "unable to convert to int"]),
        (changed(0, context=64), ["lab_models[qwen2.5].context=64", "too small"]),
        (changed(0, contxt=1), ["lab_models[qwen2.5]", "unknown key contxt"]),
        (changed(0, tools="sometimes"), ["lab_models[qwen2.5]", "value of tools must be one of: True, False"]),
        (changed(0, price={"input": "much"}), ["lab_models[qwen2.5]", "'input'", "unable to convert to float"]),
        (one(), ["lab_models[a]", "one of the following is required: ollama, llama_cpp"]),
        (one(ollama={}), ["lab_models[a]", "one of the following is required: ollama, llama_cpp"]),
        (one(ollama={"tags": "x"}), ["lab_models[a]", "unknown key ollama.tags"]),
        (
            one(llama_cpp={"file": "/a", "url": "http://b"}),
            ["lab_models[a]", "mutually exclusive: wheel|file|url|parts"],
        ),
        (one(llama_cpp={"url": "http://b"}), ["lab_models[a].llama_cpp.sha256", "64"]),
        (one(llama_cpp={"parts": "p"}), ["lab_models[a].llama_cpp.sha256", "64"]),
        (one(llama_cpp={"file": "/a", "sha256": "abc"}), ["lab_models[a].llama_cpp.sha256='abc'", "64"]),
    ],
)
def test_a_bad_catalogue_entry_is_named(models, words):
    problems = lab_settings.check_catalogue(models)
    assert problems
    assert all(word in " ".join(problems) for word in words), problems


@pytest.mark.parametrize("value", ["abc", -1, 0, 65536, "", None, 41.5])
def test_a_port_that_is_no_port_is_named(value):
    [problem] = lab_settings.check_ports({"hub_port": value}, root=True)
    assert problem.startswith(f"hub_port={value!r}: not a port number")


def test_ports_below_1024_are_for_root():
    assert lab_settings.check_ports({"hub_port": 443}, root=True) == []
    assert "root's" in lab_settings.check_ports({"hub_port": "443"}, root=False)[0]


def test_two_services_on_one_port_contradict_each_other():
    [problem] = lab_settings.check_ports({"hub_port": 4100, "jupyter_port": "4100"}, root=False)
    assert problem.startswith("jupyter_port='4100': the same port as hub_port")


@pytest.mark.parametrize(
    ("variable", "values"),
    [
        ("lab_home", ["lab", "~/lab", "/srv/my lab", "/srv/../lab", "/srv/..", "/srv/lab;rm", "/" + "x" * 80]),
        ("lab_bind_address", ["localhost", "::1", "300.1.1.1", "", None]),
        ("hub_cors_origins", ["*", ["null"], ["https://a.example/path"], "a.example", ["https://a,https://b"], [""]]),
        ("hub_key_routes_extra", [["llm_api_routes"], ["/v1/*"], ["/"], ["/v1/rerank/"], ["/v1/{id}"], [5], None]),
        ("hub_gateway_digest", ["latest", "sha256:abc"]),
        ("lab_parallel_requests", ["lots", 0, None]),
        ("notebook_budget", ["lots", 0]),
    ],
)
def test_a_value_of_a_wrong_form_is_named(variable, values):
    for value in values:
        [problem] = lab_settings.check_forms(SOUND | {variable: value})
        assert problem.startswith(f"{variable}={value[0] if isinstance(value, list) else value!r}".split("'")[0])


@pytest.mark.parametrize(
    ("variable", "values"),
    [
        ("lab_home", ["/home/ada/.local/share/genailabs", "/srv/a..b"]),
        ("lab_bind_address", ["0.0.0.0", "192.168.100.254"]),
        ("hub_cors_origins", ["https://chat.example.org", ["https://chat.example.org", "http://127.0.0.1:8888"]]),
        ("hub_key_routes_extra", [["/v1/rerank", "/v1/audio/speech"], "/v1/rerank"]),
        ("hub_gateway_digest", [f"sha256:{64 * 'a'}"]),
        ("notebook_budget", ["0.5", 10]),
    ],
)
def test_sound_values_pass(variable, values):
    for value in values:
        assert lab_settings.check_forms(SOUND | {variable: value}) == []


@pytest.mark.parametrize(
    ("name", "nearest"),
    [("hubport", "hub_port"), ("hub_prot", "hub_port"), ("gateway_silence", "gateway_silence_timeout")],
)
def test_a_misspelt_variable_is_refused_with_the_nearest_name(name, nearest):
    known = ["hub_port", "lab_home", "gateway_silence_timeout"]
    assert lab_settings.check_names([name, *known], known) == [f"{name}: no such variable. Did you mean {nearest}?"]


def test_other_peoples_variables_are_left_alone():
    assert lab_settings.check_names(["docker_users", "ansible_user", "outside"], ["hub_port", "docker_packages"]) == []


def test_a_value_of_a_wrong_type_or_choice_is_named():
    specification = {"a_timeout": {"type": "int"}, "b_kind": {"type": "str", "choices": ["x", "y"]}}
    timeout, kind = lab_settings.check_types(specification, {"a_timeout": "abc", "b_kind": "z"})
    assert timeout.startswith("a_timeout='abc': not of type int")
    assert kind.startswith("b_kind='z': value of b_kind must be one of: x, y")
    assert lab_settings.check_types(specification, {"a_timeout": "5", "other": 1}) == []


@pytest.mark.parametrize(
    ("kind", "root", "extra", "words"),
    [
        ("jupyterlab", False, "", []),
        ("jupyterhub", True, 'c.JupyterHub.authenticator_class = "generic-oauth"', []),
        ("jupyterhub", False, "", ["workbench_kind='jupyterhub': only root can", "read each other's keys"]),
        ("jupyterhub", True, "c.JupyterHub =", ["workbench_hub_extra='c.JupyterHub ='", "no Python", "line 1"]),
    ],
)
def test_a_workbench_for_each_person_needs_root_and_its_extra_lines_are_python(kind, root, extra, words):
    settings = {"workbench_kind": kind, "workbench_hub_extra": extra}
    problems = " ".join(lab_settings.check_workbench(settings, root))
    assert bool(problems) is bool(words)
    assert all(word in problems for word in words)
