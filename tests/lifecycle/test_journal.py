"""No usage of an answered request is lost or doubled, whichever service is killed."""

import math
import os

import pytest

from tests.support.load import Accounts, Load, accounts, ask, new_caller, settled

pytestmark = pytest.mark.lab

TOGETHER = ("gateway", "engine", "database")
KILLED = (*((service,) for service in (*TOGETHER, "runtime")), TOGETHER)
MOMENTS = int(os.environ.get("LAB_KILL_MOMENTS", "1"))  # for each; `make test-long` takes more
BETWEEN = 24  # answers before the first and after each kill


def check(load: Load, found: Accounts, kills: dict[str, int], capsys: pytest.CaptureFixture[str]) -> None:
    """Compare what was answered with what was charged; a missing call is named with the kill that it came after."""
    answered = set(load.answered)
    order = {call_id: number for number, call_id in enumerate(load.answered)}
    missing = {
        call_id: [service for service, before in kills.items() if before <= order[call_id]][-1:]
        for call_id in answered - found.rows.keys()
    }
    doubled = {call_id: count for call_id, count in found.rows.items() if count > 1}
    with capsys.disabled():
        print(
            f"\n{', '.join(kills)} killed: {load.sent} sent, {len(answered)} answered ({load.streamed} streamed),"
            f" {load.failed} failed; {sum(found.rows.values())} rows, {len(missing)} missing, {len(doubled)} doubled;"
            f" spend: rows {found.rows_spend:.9f}, key {found.key_spend:.9f}, user {found.user_spend:.9f},"
            f" daily {found.daily_spend:.9f}"
        )
    assert len(load.answered) == len(answered)
    assert not missing
    assert not doubled
    assert found.rows_spend > 0
    assert found.daily_requests == sum(found.rows.values())
    for spend in (found.key_spend, found.user_spend, found.daily_spend):
        assert math.isclose(spend, found.rows_spend, rel_tol=1e-9)


def test_killed_services_lose_and_double_no_usage(lab, capsys: pytest.CaptureFixture[str]) -> None:
    caller = new_caller(lab.hub_url, lab.master_key)
    kills: dict[str, int] = {}  # how many calls had been answered by then
    with Load(lab.hub_url, caller, lab.model) as load:
        load.wait_for(BETWEEN)
        for moment in range(MOMENTS):
            for services in KILLED:
                kills[f"{'+'.join(services)} {moment + 1}"] = len(load.answered)
                for service in services:
                    lab.kill(service)
                lab.wait_ready(120)
                load.wait_for(BETWEEN, seconds=180)
    check(load, settled(lab.database_url, load), kills, capsys)


def test_a_key_over_budget_stays_refused_after_the_gateway_was_killed(lab) -> None:
    caller = new_caller(lab.hub_url, lab.master_key, max_budget=1e-6)
    assert ask(lab.hub_url, caller, lab.model).status_code == 200
    lab.kill("gateway")  # before LiteLLM's next flush: the spend stands in the journal alone
    lab.wait_ready(120)
    refused = ask(lab.hub_url, caller, lab.model)
    assert refused.status_code == 422, refused.text
    assert "budget" in refused.text.lower()
    found = accounts(lab.database_url, caller)
    assert found.key_spend == pytest.approx(found.rows_spend, rel=1e-9)
    assert found.key_spend > 1e-6
