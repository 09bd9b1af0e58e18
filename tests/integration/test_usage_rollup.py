"""The answers of the roll-up against the log: whatever happens to its rows, on every clock, for any range."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from litellm_hub import usage
from tests.support import usage_truth
from tests.support.usage_rollup import (
    COUNTS,
    NOW,
    RolledUp,
    assert_equal_to_the_log,
)
from tests.support.usage_truth import grouped, rows, truth

moments = st.integers(-4 * 24 * 60, 24 * 60).map(lambda minutes: NOW + timedelta(minutes=minutes))
steps = st.one_of(
    st.tuples(st.just("add"), moments, st.integers(1, 12)),
    st.tuples(st.sampled_from(["change", "delete"]), st.integers(0, 10_000)),
    # The clock that a refresh sees may be right, behind or ahead.
    st.tuples(st.sampled_from(["refresh", "killed", "check"]), moments),
)


@settings(max_examples=15, deadline=None, derandomize=True)
@given(st.lists(steps, min_size=2, max_size=12), st.sampled_from(["UTC", "Europe/Berlin", "Asia/Kathmandu"]))
def test_every_history_ends_in_the_sums_of_the_log(
    rolled_up: RolledUp, history: list[tuple[Any, ...]], zone: str
) -> None:
    rolled_up.empty()
    rolled_up.add(NOW - timedelta(days=1), 20)
    for step, *arguments in history:
        if step == "add":
            rolled_up.add(*arguments)
        elif step in ("change", "delete"):
            if rolled_up.log:
                identity = sorted(rolled_up.log)[arguments[0] % len(rolled_up.log)]
                rolled_up.delete(identity) if step == "delete" else rolled_up.change(identity, arguments[0])
        elif step == "check":
            rolled_up.check(arguments[0])
        else:
            rolled_up.refresh(arguments[0], commit=step == "refresh")
    later = NOW + timedelta(days=2)
    rolled_up.refresh(later)
    rolled_up.check(later)
    assert_equal_to_the_log(rolled_up.reader, list(rolled_up.log.values()), zone)
    assert rolled_up.check(later) == 0


def test_what_came_after_the_last_refresh_is_in_the_answers(empty: RolledUp) -> None:
    empty.add(NOW - timedelta(hours=9), 40)
    empty.refresh()
    empty.add(NOW, 30)
    assert_equal_to_the_log(empty.reader, list(empty.log.values()), "Asia/Kolkata")


def test_late_changed_and_deleted_rows_of_the_last_hours_count_after_the_next_refresh(empty: RolledUp) -> None:
    empty.add(NOW - timedelta(hours=9), 40)
    empty.add(NOW - timedelta(hours=5), 40)
    empty.refresh()
    recent = sorted(each.id for each in empty.log.values() if each.started > NOW - timedelta(hours=2))
    assert len(recent) > 5
    empty.delete(recent[0])
    with empty.owner.begin() as connection:
        changed = replace(empty.log[recent[1]], model="another", prompt_tokens=7)
        connection.execute(text('DELETE FROM "LiteLLM_SpendLogs" WHERE request_id = :id'), {"id": changed.id})
        late = replace(empty.log[recent[2]], id="late-5000")
        usage_truth.insert(connection, [changed, late])
    empty.log |= {changed.id: changed, late.id: late}
    empty.refresh(NOW + timedelta(minutes=1))
    assert_equal_to_the_log(empty.reader, list(empty.log.values()))


def test_a_roll_up_that_is_being_built_is_completed_from_the_log(empty: RolledUp) -> None:
    for day in range(5):
        empty.add(NOW - timedelta(days=day, hours=6), 12)
    empty.call("SELECT lab_usage.refresh(at => :at)", at=NOW)
    for _ in range(3):
        empty.call("SELECT lab_usage.extend()")
        assert usage.freshness(empty.reader).covered_from is not None
        assert_equal_to_the_log(empty.reader, list(empty.log.values()), "Europe/Berlin")


@settings(max_examples=20, deadline=None, derandomize=True)
@given(data=st.data())
def test_any_range_is_exact_for_everybody(rolled_up: RolledUp, data: Any) -> None:
    if len(rolled_up.log) != 300:
        rolled_up.empty()
        for part in range(10):
            rolled_up.add(NOW - timedelta(hours=12 * part), 30, seed=part)
        rolled_up.refresh(NOW + timedelta(hours=2))
    since, until = sorted(data.draw(st.tuples(moments, moments)))
    since += timedelta(milliseconds=data.draw(st.integers(0, 900_000)))
    where = usage.UsageFilter(since=since, until=max(since, until))
    expected = truth(happened=rolled_up.log.values())
    expected = expected[(expected["started"] >= since) & (expected["started"] < until)]
    wanted = grouped(expected, "user", "model").agg(**COUNTS).reset_index() if len(expected) else expected
    found = usage.totals(rolled_up.reader, where, by=("user", "model")).drop(columns="failure_rate")
    assert rows(found, "user", "model") == rows(wanted, "user", "model")
    assert (
        usage.latency(rolled_up.reader, where, by=())["requests"].sum()
        == (~expected["failed"] & ~expected["cached"]).sum()
    )
