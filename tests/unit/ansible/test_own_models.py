"""What `make model` is told, looked at before anything is touched."""

from __future__ import annotations

import hashlib
import http.server
import json
import os
import subprocess
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from ansible.module_utils import lab_own_models
from tests.support.lab import ROOT

CONTENT = b"GGUF" + bytes(3 * 2**20)
DIGEST = hashlib.sha256(CONTENT).hexdigest()
NOTHING = dict.fromkeys(("name", "file", "url", "sha256", "context", "tools"), "")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "my model.gguf").write_bytes(CONTENT)
    (tmp_path / "page.html").write_bytes(b"<html>")
    return tmp_path


@pytest.fixture
def address(folder: Path) -> Iterator[str]:
    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def asked(**words: str) -> tuple[dict, int, list[str]]:
    return lab_own_models.entry_of({**NOTHING, "name": "mine", **words})


def refused(**words: str) -> str:
    problems = asked(**words)[2]
    assert problems
    return "\n".join(problems)


def test_make_passes_on_what_was_typed_and_nothing_of_the_environment(tmp_path: Path) -> None:
    show = tmp_path / "Makefile"
    show.write_text(f"include {ROOT}/Makefile\nmodel: ; @printenv MODEL_NAME MODEL_FILE MODEL_URL\n")
    command = ["make", "--silent", "--old-file=venv", "--file", str(show), "model", "NAME=mine", "FILE=my 'x' $1.gguf"]
    outside = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    environment = outside | {"NAME": "host", "URL": "http://elsewhere"}
    run = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    assert run.stdout == "mine\nmy 'x' $1.gguf\n\n"


def test_a_file_becomes_an_entry_with_its_digest_and_its_need_of_memory(folder: Path) -> None:
    file = str(folder / "my model.gguf")
    entry, size, problems = asked(file=file, context="2048", tools="no")
    assert problems == []
    assert entry == {
        "name": "mine",
        "context": 2048,
        "tools": False,
        "llama_cpp": {"file": file, "sha256": DIGEST},
        "memory": 6,
    }
    assert size == len(CONTENT)


def test_what_is_not_said_has_a_default_or_is_left_to_the_runtime(folder: Path) -> None:
    entry, _, _ = asked(file=str(folder / "my model.gguf"), sha256=DIGEST.upper())
    assert entry["context"] == lab_own_models.DEFAULT_CONTEXT
    assert "tools" not in entry


def test_an_address_is_looked_at_before_anything_is_downloaded(address: str) -> None:
    entry, size, problems = asked(url=f"{address}/my%20model.gguf", sha256=DIGEST)
    assert (problems, size, entry["memory"]) == ([], len(CONTENT), 6)
    assert "it is no GGUF file" in refused(url=f"{address}/page.html", sha256=DIGEST)
    assert "it answers 404" in refused(url=f"{address}/absent.gguf", sha256=DIGEST)
    assert "it does not answer" in refused(url="http://127.0.0.1:9/a.gguf", sha256=DIGEST)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ({"name": ""}, "NAME='': no valid name"),
        ({"name": "../etc"}, "NAME='../etc': no valid name. Give it a name of lower-case letters"),
        ({"name": "Mine"}, "NAME='Mine': no valid name"),
        ({}, "FILE='': with URL='': one of both is needed. make model NAME="),
        ({"file": "/a", "url": "http://b/c"}, "only one of both is needed"),
        ({"url": "ftp://b/c", "sha256": DIGEST}, "URL='ftp://b/c': no address of a file"),
        ({"url": "http://b/c"}, "SHA256='': no sha256 digest. Give the 64 hexadecimal digits"),
        ({"file": "/a", "sha256": "abc"}, "SHA256='abc': no sha256 digest"),
        ({"file": "/a", "context": "many"}, "CONTEXT='many': no number of tokens. Use a number from 256 on"),
        ({"file": "/a", "context": "64"}, "CONTEXT='64'"),
        ({"file": "/a", "tools": "perhaps"}, "TOOLS='perhaps': neither yes nor no"),
        ({"file": "/nonexistent/a.gguf"}, "FILE='/nonexistent/a.gguf': it cannot be read: No such file"),
    ],
)
def test_what_cannot_be_is_refused_in_the_words_that_were_typed(words: dict[str, str], expected: str) -> None:
    assert expected in refused(**words)


def test_a_file_that_is_none_and_a_wrong_digest_are_refused_with_what_they_are(folder: Path) -> None:
    assert "it is no GGUF file" in refused(file=str(folder / "page.html"))
    words = refused(file=str(folder / "my model.gguf"), sha256="0" * 64)
    assert "0" * 64 in words
    assert DIGEST in words


def test_a_model_larger_than_what_is_free_is_refused(folder: Path) -> None:
    entry = {"name": "mine", "memory": 4000}
    assert lab_own_models.check_room(entry, 2000 * 2**20, 4000, 2000) == []
    [memory, disk] = lab_own_models.check_room(entry, 2000 * 2**20, 3999, 1999)
    assert "4000 MB of memory are needed, 3999 MB are free" in memory
    assert "2000 MB of disk are needed, 1999 MB are free" in disk


def test_a_model_that_is_added_again_keeps_its_place_and_so_its_port() -> None:
    own = [{"name": "a"}, {"name": "b"}]
    assert lab_own_models.with_one(own, {"name": "a", "context": 1}) == [{"name": "a", "context": 1}, {"name": "b"}]
    assert lab_own_models.with_one(own, {"name": "c"})[-1] == {"name": "c"}


def test_only_the_labs_own_models_can_be_taken_out() -> None:
    own = [{"name": "a"}, {"name": "b"}]
    assert lab_own_models.without(own, "a") == ([{"name": "b"}], [])
    left, [problem] = lab_own_models.without(own, "smollm2")
    assert left == own
    assert "NAME='smollm2': the lab has no such model of its own. It has: a, b" in problem


def test_what_a_lab_keeps_is_read_again_and_a_broken_file_is_no_empty_one(tmp_path: Path) -> None:
    assert lab_own_models.read(str(tmp_path)) == []
    place = lab_own_models.place(str(tmp_path))
    place.parent.mkdir()
    place.write_text(json.dumps([{"name": "a"}]))
    assert lab_own_models.read(str(tmp_path)) == [{"name": "a"}]
    for broken, why in (("[{", "Expecting property name"), ('{"name": "a"}', "no list of models")):
        place.write_text(broken)
        with pytest.raises(ValueError, match=why):
            lab_own_models.read(str(tmp_path))
