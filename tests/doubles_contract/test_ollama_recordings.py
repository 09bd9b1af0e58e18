"""Every recorded exchange that a request can reproduce, replayed against the double."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.doubles.mirror import Faults, Mirror
from tests.doubles.ollama_process import OllamaProcess, free_port
from tests.doubles.registry_content import RegistryContent
from tests.doubles_contract import recorded, test_ollama_situations
from tests.doubles_contract.conftest import PUSHED_FROM
from tests.doubles_contract.recorded import ABSENT, PLAIN, REDIRECTING

# Recordings that nothing covers, with the reason. None at present: the folder holds those of 0.32.15 alone, because
# the older version and the exchanges through LiteLLM are not what the double stands for.
NOT_COVERED: dict[str, str] = {}
# Recorded without a temperature: a sampled answer may end by itself before the limit that the recording reached.
SAMPLED = {"anthropic_messages", "openai_responses"}
UNKNOWN_REGISTRY = "registry.invalid"


class Stage:
    """A server and the ways to put its models folder into the state that a recording began with."""

    def __init__(self, server: OllamaProcess, plain: Mirror, redirecting: Mirror, created: RegistryContent) -> None:
        self.server = server
        self.created = created
        self.plain = plain
        self.redirecting = redirecting
        self.hosts = {
            PLAIN: f"127.0.0.1:{plain.port}",
            REDIRECTING: f"127.0.0.1:{redirecting.port}",
            ABSENT: f"127.0.0.1:{free_port()}",
        }

    def empty(self) -> None:
        """No model at all."""
        for path in sorted(self.server.models.rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() else path.unlink()
        (self.server.models / "blobs").mkdir(exist_ok=True)
        (self.server.models / "manifests").mkdir(exist_ok=True)

    def models(self) -> None:
        """A model made on the spot, and pushed under the registry's name."""
        self.empty()
        self.created.place("smollm2:latest", self.server.models)
        self._copy("smollm2", f"{self.hosts[PLAIN]}/library/smollm2:135m")

    def loaded(self) -> None:
        self.models()
        assert self.server.call("POST", "/api/generate", {"model": "smollm2"}).status == 200

    def unloaded(self) -> None:
        self.loaded()
        assert self.server.call("POST", "/api/generate", {"model": "smollm2", "keep_alive": 0}).status == 200

    def aliased(self) -> None:
        self.models()
        self._copy("smollm2", "alias")

    def blob_only(self) -> None:
        """The model's file is there, the small blobs are not."""
        self.empty()
        self.plain.registry.place("smollm2:135m", self.server.models)
        for path in self.server.models.rglob("*"):
            if path.is_file() and path.stat().st_size < 1_000_000:
                path.unlink()

    def no_config(self) -> None:
        """Everything but the configuration's blob is there."""
        self.empty()
        self.plain.registry.place("smollm2:135m", self.server.models)
        next(path for path in self.server.models.glob("blobs/*") if path.stat().st_size == 414).unlink()

    def pulled(self) -> None:
        self.blob_only()
        reply = self.server.pull(self.redirecting.model("smollm2:135m"))
        assert reply.values[-1] == {"status": "success"}

    def renamed(self) -> None:
        self.pulled()
        long_name = self.redirecting.model("smollm2:135m")
        self._copy(long_name, "smollm2:135m")
        assert self.server.call("DELETE", "/api/delete", {"model": long_name}).status == 200

    def _copy(self, source: str, destination: str) -> None:
        body = {"source": source, "destination": destination}
        assert self.server.call("POST", "/api/copy", body).status == 200


SITUATIONS: list[tuple[Callable[[Stage], None], str]] = [
    (Stage.empty, "version root root_head tags_empty unknown_path show_unknown delete_unknown chat_bad_json"),
    (Stage.empty, "pull_bad_name pull_unknown_model pull_unknown_tag pull_no_registry pull_secure_from_http_registry"),
    (Stage.empty, "pull_default_registry_unreachable chat_unknown_model openai_chat_unknown_model"),
    (Stage.models, "tags show load chat_no_messages copy embed_with_chat_model openai_model openai_models"),
    (Stage.models, "chat_bad_option_type chat_think_unsupported chat_tools_unsupported"),
    (Stage.models, "chat_stream chat_nostream chat_json_format chat_length_limit generate_stream openai_chat"),
    (Stage.models, "openai_chat_stream openai_chat_stream_usage openai_completions openai_responses"),
    (Stage.models, "anthropic_messages"),
    (Stage.loaded, "ps_loaded ps_empty_or_not unload"),
    (Stage.unloaded, "ps_after_unload"),
    (Stage.aliased, "delete"),
    (Stage.blob_only, "pull_fresh pull_fresh_redirecting"),
    (Stage.no_config, "pull_up_to_date pull_up_to_date_nostream"),
    (Stage.pulled, "tags_after_pull copy_to_short_name delete_long_name"),
    (Stage.renamed, "tags_after_rename pull_same_digest_again"),
]
REPLAYED = [(prepare, name) for prepare, names in SITUATIONS for name in names.split()]


@pytest.fixture(scope="module")
def stage(binary: Path, gguf: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    folder = tmp_path_factory.mktemp("stage")
    created = RegistryContent()
    created.add("smollm2:latest", gguf, context=4096)
    with (
        Mirror(folder, faults=Faults(no_redirect=True)) as plain,
        Mirror(folder) as redirecting,
        OllamaProcess(binary, folder) as server,
    ):
        for mirror in (plain, redirecting):
            mirror.registry.add("smollm2:135m", gguf, context=4096, pushed_from=PUSHED_FROM)
        yield Stage(server, plain, redirecting, created)


@pytest.mark.parametrize(("prepare", "name"), REPLAYED, ids=[name for _, name in REPLAYED])
def test_the_double_answers_as_recorded(stage: Stage, prepare: Callable[[Stage], None], name: str) -> None:
    prepare(stage)
    recording = recorded.load(name)
    hosts = dict(stage.hosts)
    if name == "pull_default_registry_unreachable":
        # A machine that reaches the real registry would start to download: a name that never resolves stands for it.
        hosts["tinyllama:1.1b"] = f"{UNKNOWN_REGISTRY}/library/tinyllama:1.1b"
    request = recording.request
    body = recording.body(hosts)
    if name in SAMPLED:
        body["temperature"] = 0
    reply = stage.server.call(request["method"], request["path"], body, raw=request.get("raw_body"))
    replace = {here: there for there, here in stage.hosts.items()}
    recorded.check(name, reply, {**replace, **_of_this_machine(stage, recording)})


def _of_this_machine(stage: Stage, recording: recorded.Recording) -> dict[str, str]:
    """What differs from machine to machine: folders, digests of manifests, the name server."""
    replace = {str(stage.server.models): recorded.MODELS_FOLDER, UNKNOWN_REGISTRY: "registry.ollama.ai"}
    text = "".join(recording.lines)
    models = stage.server.call("GET", "/api/tags").values[0]["models"]
    for digest in {model["digest"] for model in models}:
        for there in ("861d2cfffea0098e41fba7680516a8cf0630da4d652214e79de7d4231513cc91", _CREATED_DIGEST):
            if there in text:
                replace[digest] = there
    # `ollama create` rewrote the file where the recordings were made, so the created model's blob has another digest.
    replace[_BLOB] = _CREATED_BLOB if _CREATED_BLOB in text else _BLOB
    for line in Path("/etc/resolv.conf").read_text().splitlines():
        if line.startswith("nameserver"):
            replace[f"{line.split()[1]}:53"] = "192.0.2.53:53"
    return replace


_BLOB = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
_CREATED_BLOB = "941f309b54caaad6747569ba43712bcde44a2be3bae16c3282ff499c37c54af5"
_CREATED_DIGEST = "4f5967b44f1b856ca609f6da064aaca7bf03f95d03d211c90af104668272dc1a"


def test_every_recording_is_replayed_or_has_a_reason() -> None:
    situations = test_ollama_situations.covered
    accounted = [*(name for _, name in REPLAYED), *situations, *NOT_COVERED]
    assert sorted(accounted) == sorted(path.stem for path in recorded.FOLDER.glob("*.json"))
