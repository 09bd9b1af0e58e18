"""Recorded faults that need a situation: killed processes, broken blobs, frozen registries, full disks."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.doubles.mirror import Faults, Mirror
from tests.doubles.ollama_process import OllamaProcess, Reply, wait_for
from tests.doubles_contract import recorded
from tests.doubles_contract.recorded import covered, covers

__all__ = ["covered"]

BLOB = "sha256-b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
DIGEST = "sha256:" + BLOB.removeprefix("sha256-")
RECORDED_MANIFEST = "861d2cfffea0098e41fba7680516a8cf0630da4d652214e79de7d4231513cc91"


def replay(name: str, ollama: OllamaProcess, mirror: Mirror | None = None, *, tokens: int = 0, **options: Any) -> Reply:
    """Send a recorded request (`tokens` shortens the answer) and compare the answer."""
    recording = recorded.load(name)
    hosts = {}
    if mirror:
        here = f"127.0.0.1:{mirror.port}"
        hosts = {recorded.REDIRECTING: here, recorded.SLOW: here}
    request = recording.request
    body = recording.body(hosts)
    if tokens:
        body["options"]["num_predict"] = tokens
    reply = ollama.call(request["method"], request["path"], body, **options)
    replace = {here: there for there, here in hosts.items() if there in str(request)}
    replace[str(ollama.models)] = recorded.MODELS_FOLDER
    if "tags" in name and '"digest"' in "".join(recording.lines):
        replace[ollama.call("GET", "/api/tags").values[0]["models"][0]["digest"]] = RECORDED_MANIFEST
    recorded.check(name, reply, replace)
    return reply


def children(pid: int) -> list[int]:
    """Processes whose parent is `pid`."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            if int(stat.read_text().rpartition(")")[2].split()[1]) == pid:
                found.append(int(stat.parent.name))
    return found


def running(pid: int) -> bool:
    """Whether the process is there and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def server_pid(ollama: OllamaProcess) -> int:
    assert ollama.process is not None
    return ollama.process.pid


@pytest.fixture
def pulled(ollama: OllamaProcess, mirror: Mirror) -> OllamaProcess:
    mirror.registry.place("smollm2:135m", ollama.models)
    body = {"source": "smollm2:135m", "destination": mirror.model("smollm2:135m")}
    assert ollama.call("POST", "/api/copy", body).status == 200
    assert ollama.call("POST", "/api/generate", {"model": "smollm2:135m"}).status == 200
    return ollama


@covers("chat_runner_killed_midstream", "chat_after_runner_killed")
def test_a_killed_model_process_ends_the_answer_with_an_error_and_is_replaced(
    pulled: OllamaProcess, mirror: Mirror
) -> None:
    def kill(lines: int) -> None:
        if lines == 20:
            [runner] = children(server_pid(pulled))
            os.kill(runner, signal.SIGKILL)

    assert replay("chat_runner_killed_midstream", pulled, mirror, on_line=kill).complete
    replay("chat_after_runner_killed", pulled, mirror)


@covers("chat_server_terminated_midstream")
def test_a_terminated_server_just_ends_the_stream_and_takes_its_model_process_along(
    pulled: OllamaProcess, mirror: Mirror
) -> None:
    [runner] = children(server_pid(pulled))
    stop = threading.Thread(target=pulled.stop)
    reply = replay(
        "chat_server_terminated_midstream", pulled, mirror, on_line=lambda n: stop.start() if n == 20 else None
    )
    stop.join()
    assert not reply.complete
    assert pulled.process is not None
    assert pulled.process.returncode == 0
    assert not running(runner)


@covers("chat_server_killed_midstream")
def test_a_killed_server_leaves_its_model_process_behind(pulled: OllamaProcess, mirror: Mirror) -> None:
    [runner] = children(server_pid(pulled))

    def kill(lines: int) -> None:
        if lines == 20:
            os.kill(server_pid(pulled), signal.SIGKILL)

    try:
        assert not replay("chat_server_killed_midstream", pulled, mirror, on_line=kill).complete
        assert running(runner)
    finally:
        os.kill(runner, signal.SIGKILL)


@covers("queue_0", "queue_1", "queue_2", "queue_3", "queue_4")
def test_requests_beyond_the_slots_wait_and_are_all_answered(pulled: OllamaProcess, mirror: Mirror) -> None:
    with ThreadPoolExecutor(5) as pool:
        for _ in pool.map(lambda n: replay(f"queue_{n}", pulled, mirror, tokens=20), range(5)):
            pass


@pytest.fixture
def placed(ollama: OllamaProcess, mirror: Mirror) -> OllamaProcess:
    """The model under another model's name, put in place as files."""
    mirror.registry.manifests["tinyllama:1.1b"] = mirror.registry.manifests["smollm2:135m"]
    mirror.registry.place("tinyllama:1.1b", ollama.models)
    return ollama


@covers("tags_files_placed", "chat_files_placed")
def test_files_put_in_place_are_a_model(placed: OllamaProcess) -> None:
    replay("tags_files_placed", placed)
    replay("chat_files_placed", placed)


@covers("tags_missing_blob", "chat_missing_blob", "pull_repairs_missing_blob")
def test_a_missing_blob_is_listed_refused_and_repaired_by_a_pull(placed: OllamaProcess, mirror: Mirror) -> None:
    replay("tags_files_placed", placed)
    (placed.models / "blobs" / BLOB).unlink()
    replay("tags_missing_blob", placed)
    replay("chat_missing_blob", placed)
    mirror.faults = Faults(rate=300_000_000)
    replay("pull_repairs_missing_blob", placed, mirror)
    assert (placed.models / "blobs" / BLOB).stat().st_size == 98_362_432


@covers("chat_truncated_blob", "pull_truncated_blob_on_disk")
def test_a_truncated_blob_fails_and_is_not_repaired_by_a_pull(placed: OllamaProcess, mirror: Mirror) -> None:
    os.truncate(placed.models / "blobs" / BLOB, 1_000_000)
    replay("chat_truncated_blob", placed)
    replay("pull_truncated_blob_on_disk", placed, mirror)
    assert (placed.models / "blobs" / BLOB).stat().st_size == 1_000_000


@covers("pull_tampered_blob", "tags_after_tampered", "pull_after_tampered_repaired")
def test_a_tampered_blob_is_refused_and_the_next_pull_heals_it(ollama: OllamaProcess, mirror: Mirror) -> None:
    mirror.faults = Faults(tampered=[DIGEST], rate=300_000_000)
    recording = recorded.load("pull_tampered_blob")
    reply = ollama.pull(mirror.model("smollm2:135m"))
    found = reply.values[-1]["error"].rpartition("sha256:")[2]
    got = recording.lines[-1].rpartition("sha256:")[2][:64]
    recorded.check("pull_tampered_blob", reply, {found: got})
    replay("tags_after_tampered", ollama)
    mirror.faults = Faults(rate=300_000_000)
    # The small blobs were downloaded by the first pull and are only named by the second.
    replay("pull_after_tampered_repaired", ollama, mirror)


@covers("pull_registry_frozen_at_manifest")
def test_a_frozen_manifest_blocks_the_pull_without_a_word(ollama: OllamaProcess, mirror: Mirror) -> None:
    mirror.faults = Faults(freeze_manifest=2, rate=300_000_000)
    replay("pull_registry_frozen_at_manifest", ollama, mirror)


@covers("pull_stalled_midblob")
def test_a_stalled_blob_goes_on_by_itself_and_progress_lines_keep_coming(ollama: OllamaProcess, mirror: Mirror) -> None:
    mirror.faults = Faults(freeze_blob=2.5, freeze_after=2_000_000, rate=20_000_000)
    reply = replay("pull_stalled_midblob", ollama, mirror, on_line=lambda lines: lines > 60)
    completed = [line["completed"] for line in reply.values[1:]]
    assert max(completed.count(value) for value in completed) > 20
    assert completed[-1] > 2_100_000


@covers("pull_slow_cancelled", "pull_resumed")
def test_a_cancelled_pull_keeps_its_partial_file_and_is_resumed(ollama: OllamaProcess, mirror: Mirror) -> None:
    mirror.faults = Faults(rate=20_000_000)
    reply = replay("pull_slow_cancelled", ollama, mirror, on_line=lambda lines: lines >= 25)
    partial = ollama.models / "blobs" / f"{BLOB}-partial"
    assert partial.stat().st_size == 98_362_432
    wait_for(lambda: (ollama.models / "blobs" / f"{BLOB}-partial-0").exists(), "the pull is cancelled")
    mirror.faults = Faults(rate=200_000_000)
    resumed = replay("pull_resumed", ollama, mirror)
    assert resumed.values[1]["completed"] >= reply.values[-1]["completed"]
    assert not partial.exists()


def _pull_interrupted(ollama: OllamaProcess, mirror: Mirror, name: str, number: signal.Signals) -> tuple[int, int]:
    """Pull, end the server in between, pull again: bytes complete before and after."""
    mirror.faults = Faults(rate=20_000_000)
    stop = threading.Thread(target=ollama.signal, args=(number,))
    before = replay(f"pull_server_{name}", ollama, mirror, on_line=lambda n: stop.start() if n == 25 else None)
    stop.join()
    ollama.start()
    after = replay(f"pull_after_server_{name}", ollama, mirror, on_line=lambda lines: lines >= 5)
    return before.values[-1]["completed"], after.values[1]["completed"]


@covers("pull_server_terminated", "pull_after_server_terminated")
def test_a_terminated_server_keeps_the_progress_of_its_pulls(ollama: OllamaProcess, mirror: Mirror) -> None:
    before, after = _pull_interrupted(ollama, mirror, "terminated", signal.SIGTERM)
    assert after >= before


@covers("pull_server_killed", "pull_after_server_killed")
def test_a_killed_server_loses_the_progress_of_its_pulls(ollama: OllamaProcess, mirror: Mirror) -> None:
    before, after = _pull_interrupted(ollama, mirror, "killed", signal.SIGKILL)
    assert after < before / 2


def _small_disk(folder: Path) -> tuple[str, ...]:
    """A prefix that gives a command a file system of 40 MB at `folder`, seen by it alone."""
    script = f'mount -t tmpfs -o size=40m tmpfs "{folder}" && exec "$@"'
    return ("unshare", *(() if os.geteuid() == 0 else ("-Ur",)), "-m", "sh", "-c", script, "sh")


@covers("pull_disk_full", "tags_after_disk_full")
def test_a_full_disk_ends_the_pull_and_keeps_the_partial_file(binary: Path, tmp_path: Path, mirror: Mirror) -> None:
    models = tmp_path / "small"
    models.mkdir()
    prefix = _small_disk(models)
    if subprocess.run([*prefix, "true"], check=False, capture_output=True).returncode:
        pytest.skip("this machine does not allow a mount in a name space of its own")
    with OllamaProcess(binary, tmp_path / "ollama", models=models, prefix=prefix) as ollama:
        mirror.faults = Faults(rate=200_000_000)
        replay("pull_disk_full", ollama, mirror)
        replay("tags_after_disk_full", ollama)
        inside = Path(f"/proc/{server_pid(ollama)}/root{models}/blobs/{BLOB}-partial")
        assert inside.stat().st_size == 98_362_432


@pytest.fixture
def authority(tmp_path: Path) -> tuple[Path, Path]:
    """A certificate for this machine's two names, which is its own authority, and its key."""
    certificate, key = tmp_path / "ca.pem", tmp_path / "ca.key"
    names = "subjectAltName=DNS:localhost,DNS:mirror.localhost,IP:127.0.0.1"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=mirror"]
    command += ["-addext", names, "-out", str(certificate), "-keyout", str(key)]
    subprocess.run(command, check=True, capture_output=True)
    return certificate, key


@covers("pull_unknown_ca", "pull_private_ca")
def test_a_private_authority_is_trusted_where_ssl_cert_file_names_it(
    binary: Path, gguf: Path, tmp_path: Path, authority: tuple[Path, Path]
) -> None:
    with Mirror(tmp_path, faults=Faults(rate=300_000_000), tls=authority) as mirror:
        mirror.registry.add("smollm2:135m", gguf, context=4096)
        name, there = f"localhost:{mirror.port}/library/smollm2:135m", {f"localhost:{mirror.port}": "mirror.test:5443"}
        with OllamaProcess(binary, tmp_path / "ollama") as ollama:
            recorded.check("pull_unknown_ca", ollama.call("POST", "/api/pull", {"model": name}), there)
        trust = {"SSL_CERT_FILE": str(authority[0])}
        with OllamaProcess(binary, tmp_path / "ollama", environment=trust) as ollama:
            recorded.check("pull_private_ca", ollama.call("POST", "/api/pull", {"model": name}), there)
