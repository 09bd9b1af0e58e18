"""The preflight refuses wrong variables with their name, their value and the remedy."""

import copy

import pytest
import yaml

from ansible.module_utils import lab_settings
from tests.support.lab import ROOT

CATALOGUE = yaml.safe_load((ROOT / "ansible/group_vars/all/models.yml").read_text())["lab_models"]


def changed(position: int, **values: object) -> list[dict]:
    models = copy.deepcopy(CATALOGUE)
    models[position].update(values)
    return models


def test_the_shipped_catalogue_is_sound():
    assert lab_settings.check_catalogue(CATALOGUE) == []


@pytest.mark.parametrize(
    ("models", "words"),
    [
        ([], ["lab_models", "not a list"]),
        ("smollm2", ["lab_models='smollm2'", "not a list"]),
        ([{"context": 1}], ["lab_models[0]", "no valid name"]),
        (changed(0, name="../etc"), ["lab_models[0]", "no valid name"]),
        (CATALOGUE + CATALOGUE[:1], ["lab_models[tinyllama]", "listed twice"]),
        (changed(0, context="many"), ["lab_models[tinyllama].context='many'", "not a context"]),
        (changed(0, contxt=1), ["'contxt'", "unknown key"]),
        (changed(0, tools="sometimes"), ["lab_models[tinyllama].tools='sometimes'", "neither true nor false"]),
        ([{"name": "a", "context": 512}], ["lab_models[a]", "no source"]),
        ([{"name": "a", "context": 512, "ollama": {}}], ["lab_models[a].ollama", "no tag"]),
        ([{"name": "a", "context": 512, "llama_cpp": {"file": "/a", "url": "http://b"}}], ["exactly one source"]),
        ([{"name": "a", "context": 512, "llama_cpp": {"url": "http://b"}}], ["lab_models[a].llama_cpp.sha256", "64"]),
    ],
)
def test_a_bad_catalogue_entry_is_named(models, words):
    problems = lab_settings.check_catalogue(models)
    assert len(problems) == 1
    assert all(word in problems[0] for word in words), problems


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


@pytest.mark.parametrize("home", ["lab", "~/lab", "/srv/my lab", "/srv/../lab", "/srv/lab;rm", "/" + "x" * 80])
def test_a_home_that_cannot_hold_a_lab_is_refused(home):
    assert lab_settings.check_home(home)[0].startswith(f"lab_home={home!r}")


def test_a_sound_home_passes():
    assert lab_settings.check_home("/home/ada/.local/share/genailabs") == []


@pytest.mark.parametrize("address", ["localhost", "::1", "300.1.1.1", ""])
def test_an_address_must_be_ipv4(address):
    assert lab_settings.check_address(address)[0].startswith(f"lab_bind_address={address!r}")


@pytest.mark.parametrize(("value", "word"), [("lots", "not a number"), (0, "too small"), (None, "not a number")])
def test_a_number_is_checked(value, word):
    assert word in lab_settings.check_number("lab_parallel_requests", value, 1)[0]


@pytest.mark.parametrize(
    "routes",
    [
        ["llm_api_routes"],
        ["/v1/*"],
        ["/"],
        ["/v1/rerank/"],
        ["/v1/{id}"],
        ["/v1/rerank", 5],
        "/v1/rerank",
        None,
        {"a": 1},
    ],
)
def test_further_routes_of_keys_are_paths(routes):
    assert "not a list of paths" in lab_settings.check_routes("hub_key_routes_extra", routes)[0]


def test_paths_are_routes():
    assert lab_settings.check_routes("hub_key_routes_extra", ["/v1/rerank", "/v1/audio/speech"]) == []
    assert lab_settings.check_routes("hub_key_routes_extra", []) == []


def test_a_wrong_choice_names_the_right_ones():
    [problem] = lab_settings.check_choice("lab_runtime", "vllm", lab_settings.RUNTIMES)
    assert problem == "lab_runtime='vllm': no such choice. Use one of: auto, ollama, llama_cpp"


@pytest.mark.parametrize("origin", ["*", "null", "https://a.example/path", "a.example", "https://a,https://b", ""])
def test_a_web_origin_is_scheme_host_and_port(origin):
    assert "hub_cors_origins" in lab_settings.check_origins([origin])[0]
    assert "hub_cors_origins" in lab_settings.check_origins(origin)[0]


def test_sound_web_origins_pass():
    assert lab_settings.check_origins([]) == []
    assert lab_settings.check_origins(["https://chat.example.org", "http://127.0.0.1:8888"]) == []


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
