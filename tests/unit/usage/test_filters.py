from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy.dialects import postgresql

from litellm_hub import usage


def conditions(where: usage.UsageFilter) -> list[str]:
    dialect = postgresql.dialect()
    return [str(c.compile(dialect=dialect, compile_kwargs={"literal_binds": True})) for c in where.conditions()]


def test_names_are_alternatives_a_team_has_two_and_an_empty_one_counts_too() -> None:
    where = usage.UsageFilter(user="", team="t", tag="x", model=["a", "b"])
    assert conditions(where) == [
        "lab.usage_log.model IN ('a', 'b')",
        "lab.usage_log.user_id = ''",
        "NOT lab.usage_log.is_smoke",
        "lab.usage_log.team_alias = 't' OR lab.usage_log.team_id = 't'",
        "lab.usage_log.tags && ARRAY['x']",
    ]
    assert hash(where) == hash(usage.UsageFilter(user="", team="t", tag="x", model=("a", "b")))


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"since": datetime(2026, 5, 1)}, "since has no time zone"),
        ({"until": datetime(2026, 5, 1)}, "until has no time zone"),
        ({"since": datetime(2026, 5, 2, tzinfo=UTC), "until": datetime(2026, 5, 1, tzinfo=UTC)}, "lies before since"),
        ({"status": "failed"}, "'failed'"),
    ],
)
def test_a_condition_that_nothing_can_meet_is_refused(wrong: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        usage.UsageFilter(**wrong)
