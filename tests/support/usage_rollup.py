"""A roll-up whose log the test writes, and what has to hold between the two."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, create_engine, text

from litellm_hub import usage
from tests.support import usage_truth
from tests.support.usage_database import Database
from tests.support.usage_truth import Request, grouped, percentile, rows, truth

NOW = datetime(2026, 10, 26, 12, 7, tzinfo=UTC)  # the day after Berlin's clocks went back
GRAINS: tuple[usage.Grain, ...] = ("hour", "day", "week", "month")
BOUND = 1 / 101  # of the value, between a percentile and the true one
TIERS = "volume volume_day distribution distribution_day distribution_month people people_day tags tags_day"
TABLES = f"quarter failures {TIERS}"
SUMS = {name: (name, "sum") for name in ("prompt_tokens", "completion_tokens", "total_tokens", "spend")}
MEASURES = {
    "latency": "duration",
    "time_to_first_token": "first_token",
    "tokens_per_second": "generation",
    "overall_tokens_per_second": "speed",
}
COUNTS = {"requests": ("id", "size"), "failures": ("failed", "sum"), "cache_hits": ("cached", "sum"), **SUMS}


class RolledUp:
    """A database whose log the test writes, and what it wrote."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.owner = create_engine(database.owner.replace("postgresql:", "postgresql+psycopg2:"))
        self.reader = usage.connect(database.reader)
        self.log: dict[str, Request] = {}
        self.count = 0

    def empty(self) -> None:
        """Forget everything."""
        names = ", ".join(f"lab_usage.{name}" for name in (*TABLES.split(), "people_series", "tag_series", "state"))
        with self.owner.begin() as connection:
            connection.execute(text(f'TRUNCATE "LiteLLM_SpendLogs", {names}'))
            connection.execute(text("INSERT INTO lab_usage.state DEFAULT VALUES"))
        self.log, self.count = {}, 0

    def add(self, begin: datetime, number: int, seed: int = 0) -> None:
        dice = random.Random(seed + self.count)
        new = [usage_truth.request(dice, self.count + each, begin) for each in range(number)]
        self.count += number
        self.log |= {request.id: request for request in new}
        with self.owner.begin() as connection:
            usage_truth.insert(connection, new)

    def delete(self, identity: str) -> None:
        del self.log[identity]
        with self.owner.begin() as connection:
            connection.execute(text('DELETE FROM "LiteLLM_SpendLogs" WHERE request_id = :id'), {"id": identity})

    def change(self, identity: str, seed: int) -> None:
        old = self.log[identity]
        other = usage_truth.request(random.Random(seed), int(identity.rpartition("-")[2]), old.started)
        self.delete(identity)
        self.log[identity] = replace(other, started=old.started + timedelta(minutes=seed % 40))
        with self.owner.begin() as connection:
            usage_truth.insert(connection, [self.log[identity]])

    def call(self, statement: str, *, commit: bool = True, **values: Any) -> Any:
        with self.owner.connect() as connection:
            answer = connection.execute(text(statement), values).scalars().all()
            if commit:
                connection.commit()
        return answer

    def refresh(self, now: datetime = NOW, *, commit: bool = True, retention: str | None = None) -> None:
        self.call("SELECT lab_usage.refresh(CAST(:r AS interval), at => :at)", commit=commit, r=retention, at=now)
        while commit and self.call("SELECT lab_usage.extend()") != [None]:
            pass

    def check(self, now: datetime = NOW) -> int:
        days = self.call("SELECT lab_usage.days_to_check(:at)", at=now)
        return sum(self.call("SELECT lab_usage.check_day(:day, :at)", day=day, at=now)[0] for day in days)


def assert_equal_to_the_log(log: Engine, happened: list[Request], zone: str = "UTC") -> None:
    """Every answer is what the requests give: counts and tokens exactly, percentiles within the bound."""
    expected = truth(zone, happened=happened)
    if expected.empty:
        assert usage.volume(log, tz=zone).empty
        assert usage.people(log).empty
        return
    for grain in GRAINS:
        found = usage.volume(log, grain=grain, tz=zone)
        wanted = grouped(expected, grain, "model").agg(**COUNTS).reset_index().rename(columns={grain: "time"})
        assert rows(found, "time", "model") == rows(wanted, "time", "model"), grain
    by = ("user", "key_alias", "model", "status")
    expected["status"] = expected["failed"].map({True: "failure", False: "success"})
    wanted = grouped(expected, *by).agg(**COUNTS).reset_index()
    assert rows(usage.totals(log, by=by).drop(columns="failure_rate"), *by) == rows(wanted, *by)
    tagged = usage.totals(log, by=("tag",), where=usage.UsageFilter(tag="course-7"))
    assert tagged["requests"].tolist() == [len(expected)]
    assert tagged["total_tokens"].tolist() == [expected["total_tokens"].sum()]
    clock = usage.hour_of_week(log, tz=zone)
    wanted = grouped(expected, "weekday", "hour_of_day").agg(requests=("id", "size"))
    assert clock.set_index(["weekday", "hour"])["requests"].to_dict() == wanted["requests"].to_dict()
    errors = usage.error_taxonomy(log)
    assert errors["requests"].sum() == expected["failed"].sum()
    assert_percentiles(log, expected, zone)


def assert_percentiles(log: Engine, expected: Any, zone: str) -> None:
    answered = expected[~expected["failed"] & ~expected["cached"]]
    for name, measure in MEASURES.items():
        report = getattr(usage, name)
        measured = answered[answered[measure].notna()]
        for grain, found in ((None, report(log)), ("day", report(log, grain="day", tz=zone))):
            keys = ["model"] if grain is None else ["day", "model"]
            groups = {key: group[measure] for key, group in measured.groupby(keys)}
            places = zip(*(found["time" if key == "day" else key] for key in keys), strict=True)
            assert len(found) == len(groups)
            for place, (_, row) in zip(places, found.iterrows(), strict=True):
                values = groups[place]
                assert row["requests"] == len(values)
                assert row["max"] == pytest.approx(values.max())
                assert row["mean"] == pytest.approx(values.mean())
                for rank in (50, 90, 95, 99):
                    assert row[f"p{rank}"] == pytest.approx(percentile(values, rank), rel=BOUND * (1 + 1e-9)), measure


def contents(hub: RolledUp) -> dict[str, list[str]]:
    """Everything in the roll-up; a cell's bins have no order."""
    bins = "(bucket, model, measure, is_smoke, requests, largest, bin, n)"

    def lines(name: str) -> list[str]:
        pairs = ", unnest(bins, counts) AS pair (bin, n)" if "distribution" in name else ""
        return sorted(hub.call(f"SELECT CAST({bins if pairs else 't'} AS text) FROM lab_usage.{name} AS t{pairs}"))

    return {name: lines(name) for name in TABLES.split()}
