from __future__ import annotations

from litellm_hub.gateway.readiness import of_accounts


def test_what_is_late_or_set_aside_is_told_in_words() -> None:
    assert of_accounts(3, 5.0, 0, "", late=60)["warnings"] == []
    told = of_accounts(3, 75.2, 2, "connection refused", late=60)
    assert told["journal"] == {"waiting": 3, "oldest_s": 75.2, "set_aside": 2}
    assert told["warnings"] == [
        "The usage log is 75 s behind, 3 requests wait. connection refused",
        "The usage log lacks 2 requests, see rejected.jsonl in the journal's folder",
    ]
