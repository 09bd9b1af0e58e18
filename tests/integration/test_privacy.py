"""Prompts and answers are not kept: a word that stood in one is nowhere in the lab afterwards."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import time
import urllib.error
import urllib.request
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg2
import pytest

from litellm_hub import usage
from tests.support.gateway import Gateway
from tests.support.lab import Lab, wait_until
from tests.unit.client.scripted_hub import ScriptedHub

pytestmark = pytest.mark.lab


@dataclass(frozen=True)
class Words:
    """Words that stand nowhere else.

    Attributes:
        kept: In what the log is there for, so the search must find it.
        secret: In prompts, and in answers that repeat them.
    """

    kept: str
    secret: str


def request(words: Words, **changes: Any) -> dict[str, Any]:
    told = f'Never tell anybody: {words.secret}. Now say "it is {words.secret}"'
    messages = [{"role": "system", "content": f"You know {words.secret}."}, {"role": "user", "content": told}]
    return {"messages": messages, "max_tokens": 4, "user": words.kept, "metadata": {"tags": [words.kept]}, **changes}


def ask(url: str, key: str, body: dict[str, Any]) -> str:
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    sent = urllib.request.Request(f"{url}/chat/completions", json.dumps(body).encode(), headers)
    try:
        with urllib.request.urlopen(sent, timeout=120) as answer:
            return answer.read().decode()
    except urllib.error.HTTPError as refusal:
        return refusal.read().decode()


def in_database(lab: Lab, word: str) -> dict[str, int]:
    """How many rows of each table and view, as their owner sees them, have the word in any of their columns."""
    relations = (
        "SELECT oid::regclass::text FROM pg_class WHERE relkind IN ('r', 'p', 'm', 'v')"
        " AND relnamespace::regnamespace::text NOT IN ('pg_catalog', 'information_schema')"
    )
    with closing(psycopg2.connect(lab.database_url)) as connection, connection.cursor() as cursor:
        cursor.execute(relations)
        names = [name for (name,) in cursor.fetchall()]
        assert len(names) > 100
        found = {}
        for name in names:
            cursor.execute(f"SELECT count(*) FROM {name} AS row WHERE strpos(row::text, %s) > 0", (word,))
            found[name] = cursor.fetchone()[0]
        return {name: count for name, count in found.items() if count}


def in_files(folder: Path, word: str, since: float) -> list[str]:
    """The files below a folder that have the word and were written since then."""
    found = []
    for place, _, names in os.walk(folder):
        for path in (Path(place, name) for name in names):
            try:
                if path.is_symlink() or not path.is_file() or path.stat().st_mtime < since:
                    continue
                if word.encode() in path.read_bytes():
                    found.append(str(path.relative_to(folder)))
            except FileNotFoundError:  # a file of the moment, such as the journal's
                continue
    return found


def test_no_prompt_and_no_answer_is_anywhere_in_the_lab(
    lab: Lab, lab_folder: Path, scripted_gateway: tuple[Gateway, ScriptedHub]
) -> None:
    words = Words(f"kept{secrets.token_hex(8)}", f"secret{secrets.token_hex(8)}")
    scripted, _ = scripted_gateway
    since = time.time() - 2  # clocks of file systems are coarse
    real, double = (f"{lab.hub_url}/v1", lab.notebook_key), (scripted.url, scripted.key)
    long = [{"role": "user", "content": f"{words.secret} " * 20_000}]
    answers = [
        ask(*place, request(words, **changes))
        for place, changes in (
            (double, {"model": "scripted", "stream": True}),  # which repeats the word
            (real, {"model": lab.model}),
            (real, {"model": lab.model, "stream": True}),
            (real, {"model": "there-is-no-such-model"}),
            (real, {"model": lab.model, "max_tokens": "many"}),
            (real, {"model": lab.model, "messages": long}),
        )
    ]
    assert words.secret in answers[0]
    wait_until(lambda: in_database(lab, words.kept).get("lab.usage_log", 0) >= 3, 60, "the rows are in the log")
    subprocess.run([lab.home / "bin/psql", "--quiet", "--dbname=postgres", "--command=CHECKPOINT"], check=True)
    assert in_database(lab, words.secret) == {}
    places = [lab.home, lab_folder / "scripted"]
    assert [file for place in places for file in in_files(place, words.secret, since)] == []
    # The search can find: in the table's own file, and in the log of what is about to be written.
    kept = in_files(lab.home, words.kept, since)
    assert any("/base/" in file for file in kept)
    assert any("/pg_wal/" in file for file in kept)
    assert '"LiteLLM_SpendLogs"' in in_database(lab, words.kept)
    log = usage.connect(lab.reader_url)
    newest = usage.select(log, "SELECT request_id FROM lab.usage_log LIMIT 1")
    with pytest.raises(usage.PromptsNotPermitted):
        usage.prompt(log, newest["request_id"].item())
    log.dispose()


def test_the_words_of_a_failure_are_not_in_the_database(
    lab: Lab, scripted_gateway: tuple[Gateway, ScriptedHub]
) -> None:
    words = Words(f"kept{secrets.token_hex(8)}", f"secret{secrets.token_hex(8)}")
    gateway, _ = scripted_gateway
    # The model streams to whom did not ask for that, so LiteLLM cannot read the answer, and its error quotes it.
    assert words.secret in ask(gateway.url, gateway.key, request(words, model="scripted"))
    wait_until(lambda: words.kept in json.dumps(failures(lab)), 60, "the failure is in the log")
    assert in_database(lab, words.secret) == {}


def failures(lab: Lab) -> list[Any]:
    with closing(psycopg2.connect(lab.database_url)) as connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT error_class, tags FROM lab.usage_log WHERE status = 'failure' AND error_class IS NOT NULL"
        )
        return cursor.fetchall()
