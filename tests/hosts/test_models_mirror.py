"""The mirror that the role `models` describes, a registry behind its nginx configuration, and a lab that uses it."""

from __future__ import annotations

import contextlib
import http.client
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.doubles.build_ollama_archive import build
from tests.doubles.mirror import Mirror
from tests.doubles.ollama_process import free_port, wait_for
from tests.doubles.registry_content import RegistryContent
from tests.doubles.runtime import model_file, runtime_python
from tests.hosts.test_role_ollama import ROOT, Site
from tests.support.registry import program, registry

SHIPPED = ROOT / "ansible" / "roles" / "models" / "files" / "mirror.conf"
MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
ENTRIES = [{"name": "phi", "context": 2048, "ollama": {"tag": "phi"}}]
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
        answer.content = answer.read()  # type: ignore[attr-defined]
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
            wait_for(answers, f"{command[0]} answers")
            yield
        finally:
            process.terminate()


def push(port: int, content: RegistryContent, name: str) -> None:
    """Push a model the way every client of a registry does."""
    path = f"/v2/library/{name.partition(':')[0]}"
    for digest, blob in content.blobs.items():
        data = blob.read_bytes() if isinstance(blob, Path) else blob
        place = ask(port, "POST", f"{path}/blobs/uploads/").headers["Location"]
        assert place.startswith(f"http://127.0.0.1:{port}/"), "the registry must name itself as its clients know it"
        upload = place.partition(f":{port}")[2]
        done = ask(port, "PUT", f"{upload}&digest={digest}", data, Content_Type="application/octet-stream")
        assert done.status == 201, done.content  # type: ignore[attr-defined]
    manifest = content.manifests[name]
    done = ask(port, "PUT", f"{path}/manifests/{name.partition(':')[2]}", manifest, Content_Type=MANIFEST)
    assert done.status == 201, done.content  # type: ignore[attr-defined]


@pytest.fixture(scope="module")
def published(folder: Path) -> RegistryContent:
    content = RegistryContent()
    content.add("phi:latest", model_file(runtime_python(folder)), pushed_from="/home/somebody/phi.gguf")
    return content


@pytest.fixture(scope="module")
def mirror(folder: Path, published: RegistryContent) -> Iterator[int]:
    """The port of a registry behind the shipped configuration, with one model."""
    behind, port = free_port(), free_port()
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


@pytest.fixture(scope="module")
def site(folder: Path, mirror: int) -> Iterator[Site]:
    build(folder / "releases", runtime_python(folder))
    with Mirror(folder / "releases") as releases:
        site = Site(folder / "lab", releases, model_file(runtime_python(folder)))
        yield site
        stopped = site.play(playbook=ROOT / "ansible" / "down.yml")
        assert stopped.code == 0, stopped.output


def test_the_bytes_are_elsewhere_and_in_ranges(mirror: int, published: RegistryContent) -> None:
    weights = next(digest for digest, blob in published.blobs.items() if isinstance(blob, Path))
    path = f"/v2/library/phi/blobs/{weights}"
    sent = ask(mirror, "GET", path, Range="bytes=4-7")
    assert (sent.status, sent.headers["Location"]) == (307, f"http://localhost:{mirror}{path}")
    assert ask(mirror, "HEAD", path).status == 200, "who pushes asks so whether a file is there"
    part = ask(mirror, "GET", path, Range="bytes=4-7", Host=f"localhost:{mirror}")
    content = Path(str(published.blobs[weights])).read_bytes()
    assert (part.status, part.content) == (206, content[4:8])  # type: ignore[attr-defined]


def test_a_lab_takes_its_models_from_the_mirror_under_their_short_names(
    site: Site, mirror: int, published: RegistryContent
) -> None:
    settings = {"lab_models": ENTRIES, "ollama_registry_url": f"http://127.0.0.1:{mirror}"}
    first = site.play(**settings)
    assert first.code == 0, first.output
    assert f"phi:latest: pulling from http://127.0.0.1:{mirror}" in first.output
    assert list(site.digests()) == ["phi:latest"]
    assert [path.name for path in (site.home / "models" / "ollama" / "manifests").iterdir()] == ["registry.ollama.ai"]
    again = site.play(**settings)
    assert (again.code, again.changed) == (0, 0), again.output


def test_a_new_version_in_the_mirror_is_pulled_when_asked_for(
    site: Site, mirror: int, published: RegistryContent
) -> None:
    digest = published.add("phi:latest", site.model, context=1024)
    push(mirror, published, "phi:latest")
    settings = {"lab_models": ENTRIES, "ollama_registry_url": f"http://127.0.0.1:{mirror}"}
    assert site.play(**settings).changed == 0
    updated = site.play(**settings, models_update=True)
    assert updated.code == 0, updated.output
    assert site.digests() == {"phi:latest": digest}
