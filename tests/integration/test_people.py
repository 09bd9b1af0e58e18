"""A class on a real gateway: what its keys may spend, whatever the teacher does meanwhile."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import psycopg2
import pytest

from litellm_hub.people.__main__ import run
from litellm_hub.people.plan import token
from litellm_hub.people.register import Register
from tests.doubles.counted_model import NAME
from tests.integration.test_accounting import ANSWER_COST
from tests.support.gateway import Gateway
from tests.support.lab import Lab, wait_until
from tests.support.load import Caller, Load
from tests.unit.client.scripted_hub import ScriptedHub

pytestmark = pytest.mark.lab
FIVE = 4.5 * ANSWER_COST  # the fifth call goes beyond it and is answered, the sixth is refused
ROW_SECONDS = 15


@dataclass
class Class:
    """People of a name that no other test has, in a folder of their own, on a gateway with a model that counts."""

    home: Path
    gateway: Gateway
    lab: Lab
    mark: str = field(default_factory=lambda: f"c{uuid.uuid4().hex[:8]}")

    @property
    def url(self) -> str:
        return self.gateway.url.removesuffix("/v1")

    def bring(self, rows: Iterable[str] | None, do: str = "") -> list[str]:
        """Take a list over, `name,team,budget` without the mark of this class, and do what the teacher says."""
        csv = [f"{self.mark}{name},{self.mark}{rest}" for name, rest in (row.split(",", 1) for row in rows or ())]
        settings = {
            "lab_home": str(self.home),
            "hub_url": self.url,
            "database": self.lab.database_url.partition("@")[2],
            "database_owner": "litellm",
            "routes": ["/v1/chat/completions", "/v1/models"],
            "default_budget": "5/30d",
            "csv": "\n".join(["name,team,budget", *csv]) if rows is not None else "",
        }
        words = [self.mark + word if number == 1 else word for number, word in enumerate(do.split())]
        return [says.replace(self.mark, "") for says in run(settings, words, check=False)["changes"]]

    def key(self, name: str) -> str:
        return Register.load(self.home / "people/people.json").keys[self.mark + name]

    def ask(self, key: str) -> int:
        body = {"model": NAME, "messages": [{"role": "user", "content": "Count."}]}
        headers = {"Authorization": f"Bearer {key}"}
        return httpx.post(f"{self.gateway.url}/chat/completions", json=body, headers=headers, timeout=60).status_code

    def stream(self, key: str, prompt: str, begun: threading.Event) -> str:
        body = {"model": NAME, "messages": [{"role": "user", "content": prompt}], "stream": True}
        headers = {"Authorization": f"Bearer {key}"}
        lines = []
        url = f"{self.gateway.url}/chat/completions"
        with httpx.stream("POST", url, json=body, headers=headers, timeout=60) as answer:
            for line in answer.iter_lines():
                lines.append(line)
                if "word0" in line:
                    begun.set()
        return "\n".join(lines)

    def spend_of(self, *keys: str) -> list[float]:
        with psycopg2.connect(self.lab.database_url) as connection, connection.cursor() as cursor:
            cursor.execute('SELECT token, spend FROM "LiteLLM_VerificationToken"')
            spend = dict(cursor.fetchall())
        connection.close()
        return [spend[token(key)] for key in keys]

    def sums(self, name: str) -> tuple[float, float, float]:
        """What a person has spent by the rows, by the account and by all keys."""
        with psycopg2.connect(self.lab.database_url) as connection, connection.cursor() as cursor:
            cursor.execute(
                """SELECT (SELECT coalesce(sum(spend), 0) FROM "LiteLLM_SpendLogs" WHERE "user" = %(name)s),
                  (SELECT spend FROM "LiteLLM_UserTable" WHERE user_id = %(name)s),
                  (SELECT sum(spend) FROM "LiteLLM_VerificationToken" WHERE user_id = %(name)s)""",
                {"name": self.mark + name},
            )
            [found] = cursor.fetchall()
        connection.close()
        return found

    def settle(self, name: str, calls: int) -> None:
        """Wait for the rows of all calls; account and keys must agree with them."""
        total = pytest.approx(calls * ANSWER_COST)
        wait_until(lambda: self.sums(name)[0] == total, ROW_SECONDS, f"{calls} rows, not {self.sums(name)}")
        assert self.sums(name) == (total, total, total)


@pytest.fixture
def classroom(tmp_path: Path, scripted_gateway: tuple[Gateway, ScriptedHub], lab: Lab) -> Class:
    (tmp_path / "people").mkdir()
    (tmp_path / "secrets.env").write_text("".join(f"{name}={value}\n" for name, value in lab.secrets.items()))
    return Class(tmp_path, scripted_gateway[0], lab)


@pytest.mark.parametrize("budget", [f"{FIVE}", f"{FIVE}/1d 1/30d"])
def test_a_new_key_goes_on_where_the_leaked_one_stopped(classroom: Class, budget: str) -> None:
    classroom.bring([f"anna,a,{budget}"])
    leaked = classroom.key("anna")
    assert [classroom.ask(leaked) for _ in range(3)] == [200, 200, 200]
    classroom.settle("anna", 3)

    assert classroom.bring(None, "key anna") == ["give anna a new key", "write anna.md", "write all.html"]
    key = classroom.key("anna")
    assert classroom.ask(leaked) == 401
    assert classroom.ask(key) == 200
    assert classroom.bring(None) == []
    assert classroom.ask(key) == 200
    assert [400 <= classroom.ask(key) < 500 for _ in range(3)] == [True] * 3, "the sixth"
    assert classroom.ask(leaked) == 401
    classroom.settle("anna", 5)


def test_what_was_in_flight_with_a_leaked_key_ends_well_and_counts_with_the_new_one(classroom: Class) -> None:
    classroom.bring([f"anna,a,{FIVE}"])
    leaked, begun = classroom.key("anna"), threading.Event()
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(classroom.stream, leaked, "Count. words=12 pause=1", begun)
        assert begun.wait(60)
        classroom.bring(None, "key anna")
        assert classroom.ask(leaked) == 401
        assert "[DONE]" in answer.result()
    wait_until(lambda: classroom.sums("anna")[0] > 0, ROW_SECONDS, "its row")
    classroom.bring(None)
    spent = classroom.sums("anna")
    assert spent == (pytest.approx(spent[0]),) * 3
    assert classroom.spend_of(leaked, classroom.key("anna")) == [0, pytest.approx(spent[0])]


@pytest.mark.parametrize("budget", [f"{FIVE}", f"{FIVE}/1d 1/30d"])
def test_neither_moving_nor_leaving_nor_another_budget_refills_what_old_keys_have_spent(
    classroom: Class, budget: str
) -> None:
    others = {f"{FIVE}", f"{FIVE}/1d 1/30d"} - {budget}
    classroom.bring([f"anna,a,{budget}", "ben,b,"])
    keys = [classroom.key("anna")]
    for turn in (
        lambda: classroom.bring(None, "key anna"),
        lambda: classroom.bring([f"anna,b,{budget}", "ben,b,"]),
        lambda: classroom.bring(["ben,b,"]) + classroom.bring([f"anna,a,{budget}", "ben,b,"]),
        lambda: classroom.bring([f"anna,a,{others.copy().pop()}", "ben,b,"]),
    ):
        assert classroom.ask(keys[-1]) == 200
        classroom.settle("anna", len(keys))
        assert turn()
        keys.append(classroom.key("anna"))
    assert classroom.ask(keys[-1]) == 200
    assert 400 <= classroom.ask(keys[-1]) < 500, "the sixth"
    classroom.settle("anna", 5)
    with psycopg2.connect(classroom.lab.database_url) as connection, connection.cursor() as cursor:
        cursor.execute('SELECT count(*) FROM "LiteLLM_VerificationToken" WHERE token = ANY(%s)', ([*map(token, keys)],))
        assert cursor.fetchone() == (2,), "no key is deleted"
    connection.close()


def test_a_hundred_calls_at_once_cost_no_more_than_five_in_turn(classroom: Class) -> None:
    classroom.bring([f"anna,a,{FIVE}"])
    key = classroom.key("anna")
    with ThreadPoolExecutor(100) as pool:
        statuses = list(pool.map(lambda _: classroom.ask(key), range(100)))
    assert {*statuses} <= {200, 422, 503}, "answered, over budget, or withheld where the machine is too busy"
    assert 1 <= statuses.count(200) <= 5, "the gateway sets aside what calls in flight may cost"
    statuses += [classroom.ask(key) for _ in range(6)]
    assert statuses[-1] == 422
    least = statuses.count(200) * ANSWER_COST * 0.999
    wait_until(lambda: classroom.sums("anna")[0] > least, ROW_SECONDS, "a row for each answer")
    spent = classroom.sums("anna")
    assert spent == (pytest.approx(spent[0]),) * 3
    assert spent[0] < 5.001 * ANSWER_COST


def test_what_changes_for_some_cuts_nobody_elses_stream(classroom: Class) -> None:
    rows = [f"p{number:02},{'ab'[number % 2]},5" for number in range(30)]
    made = classroom.bring(rows)
    # Two teams; a user, a key and a login for each.
    assert len([says for says in made if says.startswith("make")]) == 2 + 3 * 30
    assert len([says for says in made if says.startswith("put")]) == 4
    assert classroom.bring(rows) == []
    dearer = [row.replace(",5", ",6") for row in rows[20:25]]
    changed = [*rows[:20], *dearer, rows[25].replace(",b", ",a"), *rows[26:28]]
    with ExitStack() as stack:
        callers = [Caller(classroom.key(f"p{number:02}"), "") for number in (0, 1, 19)]
        loads = [stack.enter_context(Load(classroom.url, caller, NAME, workers=2)) for caller in callers]
        loads[0].wait_for(5)
        assert sorted(says for says in classroom.bring(changed) if not says.startswith("write")) == sorted(
            [
                *(f"change p{number}'s key: max_budget" for number in range(20, 25)),
                *("put p25 into a", "change p25's key: team_id", "take p25 out of b"),
                *("block p28", "block p29", "remove p28.md", "remove p29.md"),
                *("close p28's login", "close p29's login"),
            ]
        )
        loads[0].wait_for(5)
    assert [load.failed for load in loads] == [0, 0, 0]
    assert all(load.streamed for load in loads)
