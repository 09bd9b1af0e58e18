"""The module `lab_request` shows why something was refused, and no secret."""

from __future__ import annotations

import http.server
import os
import pwd
import threading
from collections.abc import Iterator

import pytest

from tests.support.modules import run_module

KEY, MADE = "sk-the-masters", "sk-the-new-one"


class _Refuses(http.server.BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        answer = f"the runtime is down; you sent {self.headers['Authorization']} and {body}".encode()
        self.send_response(500)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def url() -> Iterator[str]:
    with http.server.HTTPServer(("127.0.0.1", 0), _Refuses) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/key/generate"
        server.shutdown()


def test_a_refusal_shows_its_reason_and_neither_header_nor_secret(url: str) -> None:
    refused = run_module(
        "lab_request",
        {
            "url": url,
            "accounts": [pwd.getpwuid(os.geteuid()).pw_name],
            "method": "POST",
            "headers": {"Authorization": f"Bearer {KEY}"},
            "body": {"key": MADE, "key_alias": "proof"},
            "secrets": [MADE],
        },
    )
    assert refused["failed"]
    assert "status 500: the runtime is down" in refused["msg"]
    assert "proof" in refused["msg"]
    assert KEY not in str(refused)
    assert MADE not in str(refused)
