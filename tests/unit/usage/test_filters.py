from datetime import UTC, datetime, timedelta, timezone

import pytest
from sqlalchemy.dialects import postgresql

from litellm_hub import usage


def conditions(where: usage.UsageFilter) -> list[str]:
    dialect = postgresql.dialect()
    return [str(c.compile(dialect=dialect, compile_kwargs={"literal_binds": True})) for c in where.conditions()]


def test_without_conditions_all_but_the_self_tests_count() -> None:
    assert conditions(usage.EVERYTHING) == ["NOT lab.usage_log.is_smoke"]
    assert conditions(usage.UsageFilter(include_smoke=True)) == []


def test_each_condition_names_its_column() -> None:
    where = usage.UsageFilter(model="m", status="failure", user="ada", key_alias="k", include_smoke=True)
    assert conditions(where) == [
        "lab.usage_log.model = 'm'",
        "lab.usage_log.status = 'failure'",
        "lab.usage_log.user_id = 'ada'",
        "lab.usage_log.key_alias = 'k'",
    ]


def test_several_names_are_alternatives() -> None:
    where = usage.UsageFilter(model=["a", "b"], include_smoke=True)
    assert conditions(where) == ["lab.usage_log.model IN ('a', 'b')"]
    assert hash(where) == hash(usage.UsageFilter(model=("a", "b"), include_smoke=True))


def test_a_team_is_known_by_its_name_or_id_and_a_tag_is_one_of_them() -> None:
    assert conditions(usage.UsageFilter(team="t", include_smoke=True)) == [
        "lab.usage_log.team_alias = 't' OR lab.usage_log.team_id = 't'"
    ]
    assert conditions(usage.UsageFilter(tag="x", include_smoke=True)) == ["lab.usage_log.tags && ARRAY['x']"]


def test_an_empty_name_is_a_condition_too() -> None:
    assert conditions(usage.UsageFilter(user="", include_smoke=True)) == ["lab.usage_log.user_id = ''"]


def test_a_time_span_is_half_open_and_in_the_utc_of_the_index() -> None:
    kolkata = timezone(timedelta(hours=5, minutes=30))
    where = usage.UsageFilter(
        since=datetime(2026, 5, 1, 5, 30, tzinfo=kolkata), until=datetime(2026, 5, 2, tzinfo=UTC), include_smoke=True
    )
    assert conditions(where) == [
        "lab.usage_log.started_at_utc >= '2026-05-01 00:00:00'",
        "lab.usage_log.started_at_utc < '2026-05-02 00:00:00'",
    ]


@pytest.mark.parametrize("name", ["since", "until"])
def test_an_instant_without_time_zone_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} has no time zone"):
        usage.UsageFilter(**{name: datetime(2026, 5, 1)})  # type: ignore[arg-type]


def test_a_span_that_ends_before_it_begins_is_refused() -> None:
    day = datetime(2026, 5, 1, tzinfo=UTC)
    with pytest.raises(ValueError, match="lies before since"):
        usage.UsageFilter(since=day, until=day - timedelta(seconds=1))


def test_an_unknown_status_is_refused() -> None:
    with pytest.raises(ValueError, match="'failed'"):
        usage.UsageFilter(status="failed")  # type: ignore[arg-type]
