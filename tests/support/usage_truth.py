"""Requests whose truth is known, written into the log the way LiteLLM writes them."""

from __future__ import annotations

import hashlib
import json
import math
import random
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pandas as pd
import pytest
from sqlalchemy import Connection, text

SECRET = "SECRET-OF-A-PROMPT"
KEYS = {"ada-notebook": "ada", "grace-notebook": "grace", "gone": "grace"}
"""Alias and owner of each key; `gone` is deleted."""
WRONG_KEY = "sk-nobody-ever-issued-this"
ERRORS = [("InternalServerError", "500"), ("BudgetExceededError", "422"), ("ContextWindowExceededError", "400")]

_INSERT = text(
    'INSERT INTO "LiteLLM_SpendLogs" (request_id, call_type, api_key, spend, total_tokens, prompt_tokens,'
    ' completion_tokens, "startTime", "endTime", "completionStartTime", model, model_group, custom_llm_provider,'
    ' "user", metadata, cache_hit, request_tags, response, proxy_server_request, status)'
    " VALUES (:request_id, 'acompletion', :api_key, :spend, :total_tokens, :prompt_tokens, :completion_tokens,"
    " :start, :end, :first, :model, :model_group, 'openai', :user, CAST(:metadata AS jsonb), :cache_hit,"
    " CAST(:tags AS jsonb), CAST(:response AS jsonb), CAST(:request AS jsonb), :status)"
)


@dataclass(frozen=True)
class Request:
    """One request as it happened, whatever the log makes of it."""

    id: str
    started: datetime
    duration_ms: int
    first_token_ms: int | None
    model: str
    in_group: bool
    key_alias: str | None
    failure: tuple[str, str] | None
    prompt_tokens: int
    completion_tokens: int
    spend: float
    cache_hit: bool
    smoke: bool
    old: bool

    @property
    def user(self) -> str | None:
        return KEYS[self.key_alias] if self.key_alias else None


def token_of(key_alias: str | None) -> str:
    """What LiteLLM stores of the key: its hash."""
    return hashlib.sha256(f"sk-{key_alias}".encode() if key_alias else WRONG_KEY.encode()).hexdigest()


def requests(seed: int = 1) -> list[Request]:
    """Requests around the two hours that Europe and Lord Howe Island turn their clocks, and on a day between."""
    dice = random.Random(seed)
    beginnings = [
        datetime(2026, 10, 25, 0, tzinfo=UTC),  # Berlin repeats 2 to 3 o'clock from 00:00 to 02:00 UTC
        datetime(2026, 4, 4, 13, tzinfo=UTC),  # Lord Howe Island goes back by half an hour at 15:00 UTC
        datetime(2026, 6, 30, 21, tzinfo=UTC),  # midnight of half-hour zones, and of a month
    ]
    return [request(dice, number, dice.choice(beginnings)) for number in range(900)]


def request(dice: random.Random, number: int, beginning: datetime) -> Request:
    failure = dice.choice(ERRORS) if dice.random() < 0.15 else None
    cache_hit = failure is None and dice.random() < 0.1
    streamed = failure is None and dice.random() < 0.5
    duration = dice.randint(0, 3) if cache_hit and not streamed else dice.randint(40, 4000)
    tokens = 0 if failure or dice.random() < 0.05 else dice.randint(1, 300)
    return Request(
        id=f"request-{number}",
        started=beginning + timedelta(milliseconds=dice.randint(0, 4 * 3_600_000)),
        duration_ms=duration,
        first_token_ms=dice.randint(5, 35) if streamed else None,
        model=dice.choice(["smollm2", "qwen2.5", "tinyllama"]),
        in_group=dice.random() < 0.9,
        key_alias=None if failure and dice.random() < 0.3 else dice.choice(list(KEYS)),
        failure=failure,
        prompt_tokens=dice.randint(0, 500),
        completion_tokens=tokens,
        spend=0.0 if failure else tokens * 2e-7,
        cache_hit=cache_hit,
        smoke=dice.random() < 0.05,
        old=dice.random() < 0.1,
    )


def write(connection: Connection, truth: Iterable[Request]) -> None:
    """Insert keys and requests as rows of LiteLLM's tables."""
    for alias in KEYS:
        table = "DeletedVerificationToken" if alias == "gone" else "VerificationToken"
        identity = "id, " if alias == "gone" else ""
        value = "gen_random_uuid()::text, " if alias == "gone" else ""
        connection.execute(
            text(f'INSERT INTO "LiteLLM_{table}" ({identity}token, key_alias) VALUES ({value}:token, :alias)'),
            {"token": token_of(alias), "alias": alias},
        )
    insert(connection, truth)


def insert(connection: Connection, truth: Iterable[Request]) -> None:
    """Insert requests alone."""
    rows = [_row(request, int(request.id.rpartition("-")[2])) for request in truth]
    if rows:
        connection.execute(_INSERT, rows)


def _row(request: Request, number: int) -> dict[str, Any]:
    start = request.started.replace(tzinfo=None)
    end = start + timedelta(milliseconds=request.duration_ms)
    if request.first_token_ms is not None:
        first = start + timedelta(milliseconds=request.first_token_ms)
    elif request.failure and number % 3 == 0:
        first = start + timedelta(milliseconds=request.duration_ms // 2)  # broke off in the middle of a stream
    else:
        # Not streamed: LiteLLM notes the end, in every other row a millisecond off.
        first = end - timedelta(milliseconds=number % 2)
    error = {"error_class": request.failure[0], "error_code": request.failure[1]} if request.failure else {}
    message = {"error_message": f"{SECRET} was too long"}
    tags = ["User-Agent: curl", *(["lab-smoke"] if request.smoke else ["course-7"]), "User-Agent: curl/8"]
    no_group = None if number % 2 else ""
    return {
        "request_id": request.id,
        "api_key": token_of(request.key_alias),
        "spend": request.spend,
        "prompt_tokens": request.prompt_tokens,
        "completion_tokens": request.completion_tokens,
        "total_tokens": request.prompt_tokens + request.completion_tokens,
        "start": start,
        "end": end,
        "first": first,
        "model": f"openai/{request.model}-file" if request.in_group else request.model,
        "model_group": request.model if request.in_group else no_group,
        "user": request.user or "",
        "metadata": json.dumps({"error_information": {**error, **message} if request.failure else None}),
        "cache_hit": "True" if request.cache_hit else "False" if request.first_token_ms else "None",
        "tags": json.dumps(tags),
        "response": json.dumps({"content": SECRET}),
        "request": json.dumps({"messages": [SECRET]}),
        "status": "failure" if request.failure else None if request.old else "success",
    }


def hour_of(instant: datetime, zone: str) -> pd.Timestamp:
    """Beginning of the hour on the clock of `zone`: minutes and less taken off, the clock's offset kept."""
    local = instant.astimezone(ZoneInfo(zone))
    past = timedelta(minutes=local.minute, seconds=local.second, microseconds=local.microsecond)
    return pd.Timestamp(instant - past)


def bucket_of(instant: datetime, grain: str, zone: str) -> pd.Timestamp:
    """Beginning of the day, week or month on the clock of `zone`."""
    local = instant.astimezone(ZoneInfo(zone))
    day = local.replace(hour=0, minute=0, second=0, microsecond=0, tzinfo=None)
    if grain == "week":
        day -= timedelta(days=day.weekday())
    if grain == "month":
        day = day.replace(day=1)
    return pd.Timestamp(day.replace(tzinfo=ZoneInfo(zone)))


def truth(zone: str = "UTC", *, smoke: bool = False, happened: Iterable[Request] | None = None) -> pd.DataFrame:
    def row(request: Request) -> dict[str, Any]:
        end = request.duration_ms / 1000
        visible = request.first_token_ms is not None and request.duration_ms - request.first_token_ms > 1
        return {
            "id": request.id,
            "started": request.started,
            "hour": hour_of(request.started, zone),
            **{grain: bucket_of(request.started, grain, zone) for grain in ("day", "week", "month")},
            "weekday": request.started.astimezone(ZoneInfo(zone)).weekday(),
            "hour_of_day": request.started.astimezone(ZoneInfo(zone)).hour,
            "model": request.model,
            "user": request.user,
            "key_alias": request.key_alias,
            "failed": request.failure is not None,
            "error": request.failure,
            "cached": request.cache_hit,
            "prompt_tokens": request.prompt_tokens,
            "completion_tokens": request.completion_tokens,
            "total_tokens": request.prompt_tokens + request.completion_tokens,
            "spend": request.spend,
            "duration": end,
            "first_token": request.first_token_ms / 1000 if visible and request.first_token_ms else math.nan,
            "generation": (request.completion_tokens - 1) / (end - request.first_token_ms / 1000)
            if visible and request.first_token_ms and request.completion_tokens > 1
            else math.nan,
            "speed": request.completion_tokens / end if request.completion_tokens and end else math.nan,
        }

    chosen = requests() if happened is None else happened
    return pd.DataFrame([row(request) for request in chosen if smoke or not request.smoke])


def percentile(values: pd.Series, rank: int) -> float:
    """The median; else the nearest rank."""
    if rank == 50:
        return float(values.dropna().median())
    measured = sorted(values.dropna())
    return measured[-(-rank * len(measured) // 100) - 1] if measured else math.nan


def rows(frame: pd.DataFrame, *keys: str) -> dict[tuple[Any, ...], dict[str, Any]]:
    """A frame as a dictionary, whatever its order; missing values are None, instants in UTC."""

    def plain(value: Any) -> Any:
        if isinstance(value, pd.Timestamp):
            return value.tz_convert("UTC").isoformat()
        return None if pd.isna(value) else value

    found = {
        tuple(plain(record[key]) for key in keys): {
            name: pytest.approx(value, nan_ok=True) if isinstance(value, float) else plain(value)
            for name, value in record.items()
            if name not in keys
        }
        for record in frame.to_dict("records")
    }
    assert len(found) == len(frame)
    return found


def grouped(happened: pd.DataFrame, *keys: str) -> Any:
    return happened.groupby(list(keys), dropna=False)
