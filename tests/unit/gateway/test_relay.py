"""The relay between a socket and a port, with real ones."""

from __future__ import annotations

import http.client
import http.server
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from litellm_hub.gateway import relay
from tests.support.lab import free_ports, is_free, wait_until


class Echo(http.server.BaseHTTPRequestHandler):
    """Answers with what it was sent; `/slow` never ends, and notices when nobody listens any more."""

    left = threading.Event()

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.end_headers()
        try:
            self.wfile.write(body)
            while self.path == "/slow":
                self.wfile.write(b".")
                time.sleep(0.01)
        except OSError:
            self.left.set()


@pytest.fixture
def chain(tmp_path: Path) -> Iterator[tuple[int, http.server.ThreadingHTTPServer]]:
    """A server, and the port at the end of a relay to a socket and one from there to a port."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Echo)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    socket = str(tmp_path / "runtime.sock")
    [port] = free_ports(1)
    relay.start([(socket, f"127.0.0.1:{server.server_port}"), (f"127.0.0.1:{port}", socket)])
    wait_until(lambda: not is_free(port) and Path(socket).exists(), 10, "relay")
    yield port, server
    server.shutdown()
    server.server_close()


def post(port: int, path: str, body: bytes) -> http.client.HTTPResponse:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("POST", path, body)
    return connection.getresponse()


def test_a_large_body_goes_there_and_back(chain: tuple[int, object]) -> None:
    body = bytes(range(256)) * 20_000
    assert post(chain[0], "/", body).read() == body


def test_a_client_that_leaves_is_noticed_at_the_other_end(chain: tuple[int, object]) -> None:
    Echo.left.clear()
    answer = post(chain[0], "/slow", b"x")
    assert answer.read(10)
    answer.close()
    assert Echo.left.wait(5)


def test_a_runtime_that_is_down_is_named(chain: tuple[int, http.server.ThreadingHTTPServer]) -> None:
    port, server = chain
    server.shutdown()
    server.server_close()
    answer = post(port, "/", b"x" * 300_000)
    assert answer.status == 503
    assert b"the model runtime is down" in answer.read()
