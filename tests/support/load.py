"""Drives chat requests at a hub and reads back what it charged for them, to compare the two."""

import hashlib
import itertools
import json
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType

import httpx
import psycopg2


@dataclass(frozen=True)
class Caller:
    """A fresh virtual key and its user."""

    key: str
    user_id: str

    @property
    def token(self) -> str:
        """The key as the database knows it."""
        return hashlib.sha256(self.key.encode()).hexdigest()


@dataclass(frozen=True)
class Accounts:
    """What the database holds of one caller: rows per call id, and spend in US dollars from each table."""

    rows: Counter[str]
    rows_spend: float
    key_spend: float
    user_spend: float
    daily_spend: float
    daily_requests: int


@dataclass
class Load:
    """Workers that send requests, every other one streamed, until the block ends.

    `answered` holds the call ids of answers that a client may take for whole: a plain body that arrived
    entirely, or a stream whose finish reason arrived.
    """

    hub_url: str
    caller: Caller
    model: str
    workers: int = 4
    max_tokens: int = 8
    answered: list[str] = field(default_factory=list)
    streamed: int = 0
    failed: int = 0
    sent: int = 0

    def __enter__(self) -> "Load":
        self._stop = threading.Event()
        self._guard = threading.Lock()
        self._numbers = itertools.count()
        self._threads = [threading.Thread(target=self._work, daemon=True) for _ in range(self.workers)]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(timeout=60)

    def wait_for(self, count: int, seconds: float = 120) -> None:
        """Return when `count` more requests than now are answered."""
        goal = len(self.answered) + count
        wait_until(lambda: len(self.answered) >= goal, seconds, f"{count} more answers")

    def _work(self) -> None:
        headers = {"Authorization": f"Bearer {self.caller.key}"}
        with httpx.Client(base_url=self.hub_url, headers=headers, timeout=60) as client:
            while not self._stop.is_set():
                number = next(self._numbers)
                call_id = self._ask(client, number)
                with self._guard:
                    self.sent += 1
                    self.failed += call_id is None
                    if call_id is not None:
                        self.answered.append(call_id)
                        self.streamed += number % 2
                if call_id is None:
                    self._stop.wait(0.1)  # a hub that is down refuses at once; do not spin

    def _ask(self, client: httpx.Client, number: int) -> str | None:
        body = {
            "model": self.model,
            "messages": [{"role": "user", "content": f"Say the number {number}."}],
            "max_tokens": self.max_tokens,
            "stream": bool(number % 2),
        }
        call_id, finished = None, False
        try:
            with client.stream("POST", "/v1/chat/completions", json=body) as response:
                if response.status_code != 200:
                    response.read()
                    return None
                call_id = response.headers["x-litellm-call-id"]
                if not body["stream"]:
                    answer = json.loads(response.read())
                    return call_id if answer["choices"][0]["finish_reason"] else None
                for line in response.iter_lines():
                    finished = finished or _finishes(line)
        except (httpx.HTTPError, ValueError):
            pass  # the hub died: what had arrived until then decides
        return call_id if finished else None


def _finishes(line: str) -> bool:
    if not line.startswith("data: {"):
        return line == "data: [DONE]"
    return any(choice.get("finish_reason") for choice in json.loads(line[6:]).get("choices") or [])


def new_caller(hub_url: str, master_key: str, **limits: object) -> Caller:
    """Create a user and a key of theirs.

    Args:
        hub_url: The hub, without `/v1`.
        master_key: Its master key.
        **limits: Passed to `/key/generate`, such as `max_budget` in US dollars.
    """
    with httpx.Client(base_url=hub_url, headers={"Authorization": f"Bearer {master_key}"}, timeout=30) as client:
        user = client.post("/user/new", json={"auto_create_key": False}).raise_for_status().json()["user_id"]
        made = client.post("/key/generate", json={"user_id": user, **limits}).raise_for_status().json()
    return Caller(made["key"], user)


def ask(hub_url: str, caller: Caller, model: str) -> httpx.Response:
    """Send one plain chat request."""
    body = {"model": model, "messages": [{"role": "user", "content": "Say hi."}], "max_tokens": 8}
    headers = {"Authorization": f"Bearer {caller.key}"}
    return httpx.post(f"{hub_url}/v1/chat/completions", json=body, headers=headers, timeout=60)


def accounts(database_url: str, caller: Caller) -> Accounts:
    """Read what the database holds of `caller`."""
    connection = psycopg2.connect(database_url)
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute('SELECT litellm_call_id, spend FROM "LiteLLM_SpendLogs" WHERE api_key = %s', (caller.token,))
            rows = cursor.fetchall()
            cursor.execute('SELECT spend FROM "LiteLLM_VerificationToken" WHERE token = %s', (caller.token,))
            (key_spend,) = cursor.fetchone() or (0.0,)
            cursor.execute('SELECT spend FROM "LiteLLM_UserTable" WHERE user_id = %s', (caller.user_id,))
            (user_spend,) = cursor.fetchone() or (0.0,)
            cursor.execute(
                'SELECT coalesce(sum(spend), 0), coalesce(sum(api_requests), 0)::int FROM "LiteLLM_DailyUserSpend"'
                " WHERE user_id = %s",
                (caller.user_id,),
            )
            daily_spend, daily_requests = cursor.fetchone() or (0.0, 0)
    finally:
        connection.close()
    return Accounts(
        rows=Counter(call_id for call_id, _ in rows),
        rows_spend=sum(spend for _, spend in rows),
        key_spend=key_spend,
        user_spend=user_spend,
        daily_spend=daily_spend,
        daily_requests=daily_requests,
    )


def settled(database_url: str, load: Load, seconds: float = 60) -> Accounts:
    """Return the accounts once every answered call has its row, or as they are after `seconds`."""
    wanted = set(load.answered)
    deadline = time.monotonic() + seconds
    found = accounts(database_url, load.caller)
    while not wanted <= found.rows.keys() and time.monotonic() < deadline:
        time.sleep(0.5)
        found = accounts(database_url, load.caller)
    return found


def wait_until(condition: Callable[[], bool], seconds: float, what: str) -> None:
    """Poll `condition`.

    Raises:
        TimeoutError: It is not true within `seconds`.
    """
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"Not within {seconds:g} s: {what}")
        time.sleep(0.05)
