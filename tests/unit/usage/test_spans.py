"""A range of time is cut into stretches that cover it once, each from where it is answered cheapest."""

from __future__ import annotations

from datetime import datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from litellm_hub.usage.spans import Coverage, Stretch, levels, stretches

BEGIN = datetime(2026, 1, 1)
ALL = [("month", True), ("day", True), ("quarter", True)]
DAY = timedelta(days=1)
moments = st.integers(0, 200 * 24 * 60).map(lambda minutes: BEGIN + timedelta(minutes=minutes))
days = st.integers(0, 200).map(lambda day: BEGIN + timedelta(days=day))
quarters = st.integers(0, 200 * 96).map(lambda quarter: BEGIN + timedelta(minutes=15 * quarter))


@given(st.none() | moments, st.none() | moments, st.none() | days, st.none() | quarters)
def test_stretches_cover_every_range_once(
    since: datetime | None, until: datetime | None, covered_from: datetime | None, covered_until: datetime | None
) -> None:
    if since and until and until < since:
        since, until = until, since
    if covered_until is None or (covered_from and covered_from > covered_until):
        covered_from = covered_until = None
    found = stretches(Coverage(covered_from, covered_until), since, until, ALL)  # type: ignore[arg-type]
    found.sort(key=lambda stretch: stretch.since or datetime.min)
    assert found[0].since == since
    assert found[-1].until == until
    assert [stretch.until for stretch in found[:-1]] == [stretch.since for stretch in found[1:]]
    for stretch in found:
        if stretch.unit != "log":
            assert stretch.until is not None
            assert covered_until is not None
            assert stretch.until <= covered_until
            assert covered_from is None or (stretch.since is not None and stretch.since >= covered_from)
            for end in filter(None, (stretch.since, stretch.until)):
                assert (end - BEGIN) % timedelta(minutes=15) == timedelta(0)
                assert stretch.unit == "quarter" or end.hour == end.minute == 0
                assert stretch.unit != "month" or end.day == 1


@given(moments, moments)
def test_little_of_a_covered_range_is_read_from_the_log(since: datetime, until: datetime) -> None:
    since, until = sorted((since, until))
    found = stretches(Coverage(None, BEGIN + 300 * DAY), since, until, ALL)  # type: ignore[arg-type]
    read = sum((each.until - each.since for each in found if each.unit == "log"), timedelta(0))  # type: ignore[operator]
    assert read < timedelta(minutes=30)
    assert sum(each.unit == "quarter" for each in found) <= 2


def test_what_is_younger_than_the_roll_up_comes_from_the_log() -> None:
    covered = Coverage(None, datetime(2026, 3, 5, 10, 15))
    found = stretches(covered, None, None, ALL)  # type: ignore[arg-type]
    assert found[0] == Stretch("month", None, datetime(2026, 3, 1))
    assert found[-1] == Stretch("log", datetime(2026, 3, 5, 10, 15), None)


def test_where_the_log_is_gone_a_range_is_rounded_outwards() -> None:
    covered = Coverage(None, datetime(2026, 3, 5), datetime(2026, 2, 1))
    found = stretches(covered, datetime(2026, 1, 5, 10, 7), datetime(2026, 1, 5, 11, 7), [("quarter", True)])
    assert found == [Stretch("quarter", datetime(2026, 1, 5, 10), datetime(2026, 1, 5, 11, 15))]


def test_without_a_roll_up_everything_comes_from_the_log() -> None:
    assert stretches(Coverage(), None, BEGIN, ALL) == [Stretch("log", None, BEGIN)]  # type: ignore[arg-type]


def test_a_local_day_needs_quarter_hours_and_a_local_month_mostly_days() -> None:
    available = ("month", "day", "quarter")
    assert levels(available, "day", "Asia/Kathmandu") == [("quarter", True)]
    assert levels(available, "month", "Europe/Berlin") == [("day", False), ("quarter", True)]
    assert levels(available, "month", "UTC") == ALL
    assert levels(available, "week", "UTC") == [("day", True), ("quarter", True)]
    assert levels(available, None, "Europe/Berlin") == ALL
    assert levels((), "day", "Europe/Berlin") == []
