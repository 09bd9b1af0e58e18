"""No usage of an answered request is lost or doubled, whichever service is killed."""

import math

import pytest

from tests.support.load import Accounts, Load, accounts, ask, new_caller, settled

pytestmark = pytest.mark.lab

REQUESTS = 60


def check(load: Load, found: Accounts, capsys: pytest.CaptureFixture[str], what: str) -> None:
    answered = set(load.answered)
    missing = answered - found.rows.keys()
    doubled = {call_id: count for call_id, count in found.rows.items() if count > 1}
    with capsys.disabled():
        print(
            f"\n{what}: {load.sent} sent, {len(answered)} answered ({load.streamed} streamed), {load.failed} failed;"
            f" {sum(found.rows.values())} rows, {len(missing)} missing, {len(doubled)} doubled;"
            f" spend: rows {found.rows_spend:.9f}, key {found.key_spend:.9f}, user {found.user_spend:.9f},"
            f" daily {found.daily_spend:.9f}"
        )
    assert len(load.answered) == len(answered)
    assert len(answered) >= REQUESTS
    assert not missing
    assert not doubled
    assert found.rows_spend > 0
    assert found.daily_requests == sum(found.rows.values())
    for spend in (found.key_spend, found.user_spend, found.daily_spend):
        assert math.isclose(spend, found.rows_spend, rel_tol=1e-9)


@pytest.mark.parametrize("service", ["gateway", "engine", "database", "runtime", "jupyterlab"])
def test_a_killed_service_loses_and_doubles_no_usage(lab, capsys: pytest.CaptureFixture[str], service: str) -> None:
    caller = new_caller(lab.hub_url, lab.master_key)
    with Load(lab.hub_url, caller, lab.model) as load:
        load.wait_for(REQUESTS // 3)
        lab.kill(service)
        lab.wait_ready(120)
        load.wait_for(2 * REQUESTS // 3, seconds=180)
    check(load, settled(lab.database_url, load), capsys, f"{service} killed")


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
