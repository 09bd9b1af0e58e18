"""The dashboard without a browser and without a log: messages in, messages out."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from litellm_hub.usage import LogUnreachable
from tests.unit.client.scripted_hub import ScriptedHub, scripted_hub
from tests.unit.widgets.conftest import wait_for
from widgets import UsageDashboard
from widgets.panels import usage_view
from widgets.panels.usage_dashboard import module
from widgets.panels.usage_view import Choice

NOW = datetime(2026, 5, 10, 12, tzinfo=UTC)


class Recorded(UsageDashboard):
    """A dashboard that keeps what it sends."""

    def send(self, content: Any, buffers: Any = None) -> None:
        self.__dict__.setdefault("sent", []).append(content)

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [message for message in self.__dict__.get("sent", []) if message["type"] == kind]

    def receive(self, **content: Any) -> None:
        self._handle_custom_msg(content, [])


class Answers:
    """What the log would say; every question for a view is kept, and may be held up."""

    def __init__(self) -> None:
        self.asked: list[Choice] = []
        self.rows_asked: list[tuple[Any, Any]] = []
        self.go_on = threading.Event()
        self.go_on.set()
        self.error: Exception | None = None

    def view(self, _engine: object, choice: Choice, now: datetime) -> dict[str, Any]:
        choice.where(now)
        self.asked.append(choice)
        assert self.go_on.wait(20)
        if self.error:
            raise self.error
        return {"tiles": [], "charts": {}, "options": {}, "grain": "hour", "empty": False, "freshness": "fresh"}

    def rows(self, _engine: object, _choice: Choice, _now: datetime, bucket: Any, before: Any) -> Any:
        self.rows_asked.append((bucket, before))
        return [{"time": "t"}], (NOW, "r-1")


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> Answers:
    made = Answers()
    monkeypatch.setattr(usage_view, "view", made.view)
    monkeypatch.setattr(usage_view, "rows", made.rows)
    monkeypatch.setattr(UsageDashboard, "_log", lambda self: None)
    return made


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[ScriptedHub]:
    """The hub that a dashboard made after it asks."""
    with scripted_hub() as running:
        monkeypatch.setenv("LITELLM_BASE_URL", running.url)
        yield running


@pytest.fixture
def dashboard(answers: Answers) -> Iterator[Recorded]:
    made = Recorded()
    yield made
    made.close()


def opened(dashboard: Recorded) -> Recorded:
    dashboard.receive(type="open", zone="Europe/Berlin")
    wait_for(lambda: bool(dashboard.of("rows")))
    return dashboard


def test_the_first_view_asks_on_the_clock_of_the_browser(dashboard: Recorded) -> None:
    (view,) = opened(dashboard).of("view")
    assert view["choice"]["zone"] == "Europe/Berlin"
    assert view["choice"]["span"] == "7d"


def test_a_zone_that_this_machine_does_not_know_becomes_utc(dashboard: Recorded) -> None:
    dashboard.receive(type="open", zone="Mars/Olympus")
    wait_for(lambda: bool(dashboard.of("view")))
    assert dashboard.of("view")[0]["choice"]["zone"] == "UTC"


def test_a_second_view_is_shown_what_is_there_without_asking_again(dashboard: Recorded, answers: Answers) -> None:
    opened(dashboard).receive(type="open", zone="UTC")
    wait_for(lambda: len(dashboard.of("view")) == 2)
    assert len(answers.asked) == 1


def test_of_many_choices_only_the_latest_is_answered(dashboard: Recorded, answers: Answers) -> None:
    opened(dashboard)
    answers.go_on.clear()
    for span in ("24h", "30d", "90d", "all"):
        dashboard.receive(type="choose", choice={"span": span})
        if span == "24h":
            wait_for(lambda: len(answers.asked) == 2)
    answers.go_on.set()
    wait_for(lambda: dashboard.of("view")[-1]["choice"]["span"] == "all")
    assert [choice.span for choice in answers.asked] == ["7d", "24h", "all"]


def test_more_rows_go_on_where_the_page_ended(dashboard: Recorded, answers: Answers) -> None:
    opened(dashboard).receive(type="rows", bucket=["2026-05-01T10:00:00", "2026-05-01T11:00:00"])
    wait_for(lambda: len(dashboard.of("rows")) == 2)
    dashboard.receive(type="rows", more=True)
    wait_for(lambda: len(dashboard.of("rows")) == 3)
    hour = ("2026-05-01T10:00:00", "2026-05-01T11:00:00")
    assert answers.rows_asked == [(None, None), (hour, None), (hour, (NOW, "r-1"))]
    assert [bool(message.get("added")) for message in dashboard.of("rows")] == [False, False, True]


def test_a_refresh_keeps_the_requests_that_somebody_reads(dashboard: Recorded, answers: Answers) -> None:
    opened(dashboard).receive(type="rows", bucket=["2026-05-01T10:00:00", "2026-05-01T11:00:00"])
    wait_for(lambda: len(dashboard.of("rows")) == 2)
    dashboard.refresh()
    wait_for(lambda: len(dashboard.of("rows")) == 3)
    assert answers.rows_asked[1:] == [(("2026-05-01T10:00:00", "2026-05-01T11:00:00"), None)] * 2
    dashboard.receive(type="rows", more=True)
    wait_for(lambda: len(dashboard.of("rows")) == 4)
    dashboard.refresh()
    wait_for(lambda: len(dashboard.of("view")) == 3 and not dashboard.of("busy")[-1]["busy"])
    assert len(dashboard.of("rows")) == 4


def test_a_log_that_does_not_answer_says_what_to_do_and_is_asked_again(dashboard: Recorded, answers: Answers) -> None:
    answers.error = LogUnreachable("The database at h:1 does not answer.")
    dashboard.receive(type="open")
    wait_for(lambda: bool(dashboard.of("problem")))
    (problem,) = dashboard.of("problem")
    assert problem["reason"] == "The database at h:1 does not answer."
    assert "make up" in problem["remedy"]
    answers.error = None
    dashboard.receive(type="refresh")
    wait_for(lambda: bool(dashboard.of("view")))
    dashboard.receive(type="open")
    wait_for(lambda: len(dashboard.of("view")) == 2)
    assert len(dashboard.of("problem")) == 1


def test_a_fault_of_the_dashboard_itself_is_shown_and_does_not_end_it(dashboard: Recorded, answers: Answers) -> None:
    answers.error = KeyError("a column")
    dashboard.receive(type="open")
    wait_for(lambda: bool(dashboard.of("problem")))
    assert dashboard.of("problem")[0]["reason"] == "The dashboard failed (KeyError)."
    answers.error = None
    dashboard.refresh()
    wait_for(lambda: bool(dashboard.of("view")))


def idle(dashboard: Recorded, views: int) -> None:
    """Wait until so many views were sent and nothing more is under way."""
    wait_for(lambda: len(dashboard.of("view")) == views and not dashboard.of("busy")[-1]["busy"])


def test_what_the_hub_warns_of_is_shown_while_it_lasts(hub: ScriptedHub, dashboard: Recorded) -> None:
    behind = "The usage log is behind by 2 minutes."
    hub.readiness = 200, {"lab": {"warnings": [behind]}}
    opened(dashboard)
    idle(dashboard, 1)
    dashboard.refresh()
    idle(dashboard, 2)
    assert dashboard.of("warnings") == [{"type": "warnings", "warnings": [behind]}], "once, not at every refresh"
    dashboard.receive(type="open", zone="UTC")
    assert [message["warnings"] for message in dashboard.of("warnings")] == [[behind]] * 2, "a second view too"
    hub.readiness = 200, {"lab": {"warnings": []}}
    dashboard.refresh()
    idle(dashboard, 4)
    assert dashboard.of("warnings")[-1]["warnings"] == []


def test_a_hub_that_is_away_or_warns_of_nothing_is_not_mentioned(hub: ScriptedHub, dashboard: Recorded) -> None:
    opened(dashboard)
    idle(dashboard, 1)
    hub.readiness = 500, "no hub"
    dashboard.refresh()
    idle(dashboard, 2)
    assert dashboard.of("warnings") == []
    assert dashboard.of("problem") == []


def test_no_hub_is_asked_about_another_log(hub: ScriptedHub, answers: Answers) -> None:
    hub.readiness = 200, {"lab": {"warnings": ["The usage log is behind by 2 minutes."]}}
    dashboard = Recorded(database="postgresql://h/another")
    opened(dashboard)
    idle(dashboard, 1)
    assert dashboard.of("warnings") == []
    dashboard.close()


def test_a_choice_that_is_not_to_be_had_keeps_the_last_view(dashboard: Recorded) -> None:
    opened(dashboard).receive(type="choose", choice={"span": "custom", "since": "2026-05-02", "until": "2026-05-01"})
    wait_for(lambda: bool(dashboard.of("problem")))
    assert "ends before it begins" in dashboard.of("problem")[0]["reason"]
    dashboard.refresh()
    wait_for(lambda: len(dashboard.of("view")) == 2)
    assert dashboard.of("view")[1]["choice"]["span"] == "7d"


def test_the_thread_ends_with_the_dashboard(answers: Answers) -> None:
    before = set(threading.enumerate())
    made = Recorded()
    (thread,) = (each for each in set(threading.enumerate()) - before if each.name == "usage-dashboard")
    made.close()
    thread.join(10)
    assert not thread.is_alive()


def test_nothing_of_the_log_is_in_the_state_that_notebooks_save(dashboard: Recorded) -> None:
    opened(dashboard)
    assert set(dashboard.get_state()) - {"_esm", "_css", "_anywidget_id"} <= set(
        UsageDashboard.__mro__[1]().get_state()
    )


def test_the_front_end_carries_vega_and_imports_nothing() -> None:
    script = module()
    assert not re.search(r"\bimport\s*[({\"']", script)
    assert "cdn" not in script.lower()
    assert "vegaEmbed" not in (set(re.findall(r"\bwindow\.(\w+)\s*=", script)))


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"span": "1y"}, "no time range"),
        ({"measure": "love"}, "no chart of 'love'"),
        ({"by": "request_id"}, "by 'request_id'"),
        ({"status": "maybe"}, "no status"),
        ({"zone": "Mars"}, "IANA"),
        ({"model": ["a"]}, "damaged"),
        ({"span": "custom"}, "“from” is missing"),
        ({"span": "custom", "since": "2026-05-01", "until": "soon"}, "“to” is missing or no date"),
    ],
)
def test_a_wrong_choice_is_refused_in_words(given: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=re.escape(words)):
        Choice.read(given)


def test_a_choice_becomes_a_filter_on_its_clock() -> None:
    where = Choice.read(
        {"span": "custom", "since": "2026-05-01T00:00", "until": "2026-05-02T00:00", "zone": "Asia/Kolkata"}
    ).where(NOW)
    assert where.since == datetime(2026, 4, 30, 18, 30, tzinfo=UTC)
    assert where.until == datetime(2026, 5, 1, 18, 30, tzinfo=UTC)
    where = Choice.read({"span": "24h", "user": "ada", "status": "failure"}).where(NOW)
    assert (where.since, where.until) == (NOW - timedelta(days=1), NOW)
    assert (where.user, where.model, where.status) == ("ada", None, "failure")


def test_an_hour_that_the_clock_skips_is_no_error() -> None:
    given = {"span": "custom", "since": "2026-03-29T02:30", "until": "2026-03-29T04:00", "zone": "Europe/Berlin"}
    assert Choice.read(given).where(NOW).since == datetime(2026, 3, 29, 1, tzinfo=UTC)


def test_an_unknown_span_is_refused() -> None:
    with pytest.raises(ValueError, match="span is 'year'"):
        UsageDashboard("year")
