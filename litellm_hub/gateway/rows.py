"""Turns what LiteLLM reports of a call into a journal entry that the database takes.

An entry is a JSON object: `id` (uuid), `row` (columns of LiteLLM's log), `endpoint`, `project`, and `windows` (the
budget windows it counts in). Its values fit the columns, whatever the caller and the runtime wrote.
"""

import json
import logging
import math
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from litellm.litellm_core_utils.core_helpers import get_litellm_metadata_from_kwargs
from litellm.litellm_core_utils.litellm_logging import StandardLoggingPayloadSetup
from litellm.proxy import proxy_server
from litellm.proxy._types import SpendLogsPayload
from litellm.proxy.litellm_pre_call_utils import LiteLLMProxyRequestSetup
from litellm.proxy.route_llm_request import ROUTE_ENDPOINT_MAPPING
from litellm.proxy.spend_tracking.budget_reservation import get_budget_window_start
from litellm.proxy.spend_tracking.spend_tracking_utils import (
    configured_spend_logs_metadata_fields,
    get_logging_payload,
    sanitize_error_information_for_spend_logs,
    should_store_prompts_and_responses_in_spend_logs,
    spend_log_row_with_retained_metadata,
)

from litellm_hub.gateway import columns

log = logging.getLogger("litellm_hub.journal")

COLUMNS = frozenset(SpendLogsPayload.__annotations__)
_ENDPOINTS = {"anthropic_messages": "/messages"}  # which LiteLLM's own mapping lacks


def succeeded(details: dict[str, Any], response: Any, start: datetime, end: datetime) -> tuple[dict[str, Any], bool]:
    """Return the entry of an answered call.

    Args:
        details: What LiteLLM tells its loggers of the call.
        response: The answer, of a stream the assembled one.
        start: When the gateway began with the call.
        end: When the answer was complete.

    Returns:
        The entry, and whether LiteLLM found no price for the answer of a model that has one.
    """
    metadata = get_litellm_metadata_from_kwargs(details)
    row = _row(details, metadata, response, start, end)
    reported = (details.get("standard_logging_object") or details).get("response_cost")
    known = isinstance(reported, int | float) and math.isfinite(reported) and reported > 0
    # A model of the catalogue costs what stands there, whatever its runtime says of the cost.
    price = _price(row, metadata.get("model_info") or {})
    return _entry(row, price or (reported if known else 0.0), metadata), price > 0 and not known


def failed(request: Mapping[str, Any], error: Exception, caller: Any) -> dict[str, Any]:
    """Return the entry of a call that failed; what the runtime had sent by then is paid for.

    Args:
        request: The request's data as LiteLLM hands it to its failure hook.
        error: Why it failed.
        caller: LiteLLM's `UserAPIKeyAuth` of the request.
    """
    information = StandardLoggingPayloadSetup.get_error_information(original_exception=error)
    information.pop("traceback", None)
    if not should_store_prompts_and_responses_in_spend_logs():
        # A runtime's words may quote the prompt, and of an answer that cannot be read they are the answer.
        information.pop("error_message", None)
    metadata = {
        **(request.get("metadata") or request.get("litellm_metadata") or {}),
        **LiteLLMProxyRequestSetup.get_sanitized_user_information_from_key(user_api_key_dict=caller),
        "user_api_key": LiteLLMProxyRequestSetup.get_logged_api_key(caller),
        "status": "failure",
        "error_information": sanitize_error_information_for_spend_logs(information, original_exception=error),
    }
    params = {**(request.get("litellm_params") or {}), "metadata": metadata, "litellm_metadata": None}
    start = request.get("start_time")
    now = datetime.now()  # naive and local, as LiteLLM's own times are
    details = {"model": "", **request, "litellm_params": params}
    row = _row(details, metadata, error, start if isinstance(start, datetime) else now, now)
    cost = request.get("response_cost") if request.get("combined_usage_object") is not None else 0.0
    return _entry(row, float(cost or 0.0), metadata)


def windows(kind: str, of: str, budget_limits: object) -> list[dict[str, str]]:
    """Return the budget windows that a request of a key or team counts in.

    Args:
        kind: `key` or `team`.
        of: Its id.
        budget_limits: What LiteLLM keeps of them: objects with `budget_duration` and `reset_at`.
    """
    limits = json.loads(budget_limits) if isinstance(budget_limits, str) else budget_limits
    found = []
    for limit in limits if isinstance(limits, list) else ():
        window = limit if isinstance(limit, dict) else limit.model_dump()
        since = get_budget_window_start(window) if window.get("reset_at") else None  # else it slides, and has no row
        if since is not None:
            since = since.astimezone(UTC).replace(tzinfo=None)
            found.append({"kind": kind, "of": of, "duration": window["budget_duration"], "since": since.isoformat()})
    return found


def _row(
    details: dict[str, Any], metadata: Mapping[str, Any], response: Any, start: datetime, end: datetime
) -> dict[str, Any]:
    try:
        payload = get_logging_payload(details, response, start, end, proxy_server.llm_router)
        row = dict(spend_log_row_with_retained_metadata(payload, configured_spend_logs_metadata_fields()))
    except Exception:  # whatever LiteLLM trips over, a call is not lost
        log.exception("Usage journal: LiteLLM could not describe a call; its row holds the necessary alone")
        row = _bare_row(details, metadata, start, end)
    return {name: columns.fitting(name, value) for name, value in row.items() if name in COLUMNS}


def _bare_row(
    details: Mapping[str, Any], metadata: Mapping[str, Any], start: datetime, end: datetime
) -> dict[str, Any]:
    usage = details.get("standard_logging_object") or {}
    return {
        "request_id": details.get("litellm_call_id") or "",
        "litellm_call_id": details.get("litellm_call_id"),
        "call_type": str(details.get("call_type") or ""),
        "api_key": metadata.get("user_api_key") or "",
        "user": metadata.get("user_api_key_user_id") or "",
        "team_id": metadata.get("user_api_key_team_id") or "",
        "model": str(details.get("model") or ""),
        "model_group": str(metadata.get("model_group") or ""),
        "status": metadata.get("status") or "success",
        **{name: usage.get(name) or 0 for name in ("prompt_tokens", "completion_tokens", "total_tokens")},
        "startTime": start.astimezone(UTC),
        "endTime": end.astimezone(UTC),
        "metadata": {},
        "request_tags": [],
    }


def _price(row: Mapping[str, Any], model_info: Mapping[str, Any]) -> float:
    prices = {"prompt_tokens": "input_cost_per_token", "completion_tokens": "output_cost_per_token"}
    return sum((row.get(tokens) or 0) * float(model_info.get(price) or 0) for tokens, price in prices.items())


def _entry(row: dict[str, Any], cost: float, metadata: Mapping[str, Any]) -> dict[str, Any]:
    call_type = str(row.get("call_type") or "")
    return {
        "id": str(uuid.uuid4()),
        "row": {**row, "spend": cost},
        "endpoint": ROUTE_ENDPOINT_MAPPING.get(call_type) or _ENDPOINTS.get(call_type, ""),
        "project": metadata.get("user_api_key_project_id"),
        "windows": [],
    }
