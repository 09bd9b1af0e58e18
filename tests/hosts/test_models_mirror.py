"""The mirror that the role `models` describes, a registry behind its nginx configuration."""

from __future__ import annotations

import contextlib
import http.client
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.doubles.mirror import RegistryContent, digest_of, weights
from tests.doubles.ollama import Ollama
from tests.doubles.ollama_store import MANIFEST
from tests.support.lab import ROOT, free_ports, wait_until
from tests.support.modules import run_module
from tests.support.registry import program, registry

SHIPPED = ROOT / "ansible" / "roles" / "models" / "files" / "mirror.conf"
# What Debian's /etc/nginx/nginx.conf is for, as far as it matters here.
NGINX = """
{user}
pid {folder}/nginx.pid;
error_log stderr;
events {{}}
http {{
    access_log {folder}/access.log;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    include {folder}/mirror.conf;
}}
"""


def ask(port: int, method: str, path: str, body: bytes | None = None, **headers: str) -> http.client.HTTPResponse:
    """One request at 127.0.0.1; the body of the answer is read and lies in `content`."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    with contextlib.closing(connection):
        connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
        answer = connection.getresponse()
        answer.content = answer.read()
    return answer


@contextlib.contextmanager
def running(command: list[str], port: int, log: Path) -> Iterator[None]:
    """Have a program run until the block ends, and answer at `port` before it begins."""

    def answers() -> bool:
        assert process.poll() is None, log.read_text()
        with contextlib.suppress(OSError, http.client.HTTPException):
            return ask(port, "GET", "/v2/").status == 200
        return False

    with log.open("w") as output, subprocess.Popen(command, stdout=output, stderr=output) as process:
        try:
            wait_until(answers, 20, f"{command[0]} answers")
            yield
        finally:
            process.terminate()


def push(port: int, content: RegistryContent, name: str) -> None:
    """Push a model the way every client of a registry does."""
    path = f"/v2/library/{name.partition(':')[0]}"
    for digest, blob in content.blobs.items():
        place = ask(port, "POST", f"{path}/blobs/uploads/").headers["Location"]
        assert place.startswith(f"http://127.0.0.1:{port}/"), "the registry must name itself as its clients know it"
        upload = place.partition(f":{port}")[2]
        done = ask(port, "PUT", f"{upload}&digest={digest}", blob, Content_Type="application/octet-stream")
        assert done.status == 201, done.content
    manifest = content.manifests[name]
    done = ask(port, "PUT", f"{path}/manifests/{name.partition(':')[2]}", manifest, Content_Type=MANIFEST)
    assert done.status == 201, done.content


@pytest.fixture(scope="module")
def published() -> RegistryContent:
    content = RegistryContent()
    content.add("phi:latest")
    return content


@pytest.fixture(scope="module")
def mirror(folder: Path, published: RegistryContent) -> Iterator[int]:
    """The port of a registry behind the shipped configuration, with one model."""
    behind, port = free_ports(2)
    shipped = SHIPPED.read_text()
    settings = {"server 127.0.0.1:5000;": f"server 127.0.0.1:{behind};", "listen 5001;": f"listen {port};"}
    for setting, value in settings.items():
        assert shipped.count(setting) == 1
        shipped = shipped.replace(setting, value)
    (folder / "mirror.conf").write_text(shipped)
    user = "user root;" if folder.owner() == "root" else ""
    (folder / "nginx.conf").write_text(NGINX.format(folder=folder, user=user))
    nginx = [program("nginx"), "-p", str(folder), "-c", str(folder / "nginx.conf"), "-g", "daemon off;"]
    with registry(folder, behind), running(nginx, port, folder / "nginx.log"):
        push(port, published, "phi:latest")
        yield port


def test_the_bytes_are_elsewhere_and_in_ranges(mirror: int, published: RegistryContent) -> None:
    path = f"/v2/library/phi/blobs/{digest_of(weights())}"
    sent = ask(mirror, "GET", path, Range="bytes=4-7")
    assert (sent.status, sent.headers["Location"]) == (307, f"http://localhost:{mirror}{path}")
    assert ask(mirror, "HEAD", path).status == 200, "who pushes asks so whether a file is there"
    part = ask(mirror, "GET", path, Range="bytes=4-7", Host=f"localhost:{mirror}")
    assert (part.status, part.content) == (206, weights()[4:8])


def test_models_come_from_the_mirror_under_their_short_names_and_newer_ones_when_asked_for(
    folder: Path, mirror: int, published: RegistryContent
) -> None:
    with Ollama(folder / "models") as server:

        def brought(*, update: bool = False) -> bool:
            arguments = {
                "base_url": server.url,
                "models": [{"name": "phi", "ollama": {"tag": "phi"}}],
                "models_path": str(server.models),
                "registry_url": f"http://127.0.0.1:{mirror}",
                "update": update,
                "progress_log": str(folder / "models.log"),
            }
            result = run_module("lab_models", arguments)
            assert result["models"] == [{"name": "phi", "available": True, "reason": ""}], result
            return bool(result["changed"])

        assert brought()
        assert server.store.names() == ["phi:latest"]
        assert [path.name for path in server.store.manifests.iterdir()] == ["registry.ollama.ai"]
        digest = published.add("phi:latest", context=1024)
        push(mirror, published, "phi:latest")
        assert not brought()
        assert brought(update=True)
        assert server.store.facts("phi:latest")["digest"] == digest
