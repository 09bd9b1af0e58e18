"""Entry point for LiteLLM's configuration: `litellm_settings: {callbacks: [litellm_hub.proxy.plugin.handler]}`.

Loading this module opens the journal in the directory `LAB_JOURNAL_DIR` and patches the running proxy.
"""

import atexit
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import litellm
from litellm.litellm_core_utils.streaming_handler import CustomStreamWrapper
from litellm.proxy import proxy_server
from litellm.proxy._types import ProxyException
from litellm.proxy.db.db_spend_update_writer import DBSpendUpdateWriter, _is_batch_cost_row
from litellm.proxy.hooks.proxy_track_cost_callback import _ProxyDBLogger
from litellm.proxy.utils import ProxyLogging, ProxyUpdateSpend

from litellm_hub.proxy import guards, hooks
from litellm_hub.proxy.accounting import Accountant
from litellm_hub.proxy.hooks import LabHandler
from litellm_hub.proxy.journal import Journal, JournalError
from litellm_hub.proxy.recorder import Recorder, check_litellm
from litellm_hub.proxy.runtime import RuntimeTransport

# Source digests of what is replaced or relied upon, in LiteLLM 1.106.2.
KNOWN = {
    "update_database": "96f6aa53d0f1268b",
    "_record_spend_log": "ccf9d77b1e262c03",
    "_batch_database_updates": "9dca3e199aca39c9",
    "_commit_spend_updates_to_db": "7669aadc4033fe14",
    "_update_daily_spend": "0ac2d64592f12ca6",
    "db_update_spend_transaction_handler": "3b32a24a4424a09c",
    "_PROXY_track_cost_callback": "aee52f61ef980e12",
    "_finalize_completed_stream": "f9882522a67fe554",
}


class Refused(ProxyException):
    """The proxy's form of a guard's refusal, with a code for programs."""

    def __init__(self, error: guards.RefusedError) -> None:
        """Take over the guard's message."""
        super().__init__(message=str(error), type="invalid_request_error", param=error.param, code=400)
        self._code = error.code

    def to_dict(self) -> dict[str, Any]:
        """Return the error body; LiteLLM's own `code` is the HTTP status."""
        return {**super().to_dict(), "code": self._code}


def _deployments(model: str) -> Sequence[Mapping[str, Any]]:
    router = proxy_server.llm_router
    return (router.get_model_list(model_name=model) or []) if router is not None else []


def _catalogue() -> Sequence[Mapping[str, Any]]:
    router = proxy_server.llm_router
    return (router.get_model_list() or []) if router is not None else []


def _install() -> LabHandler:
    check_litellm(
        {
            "update_database": DBSpendUpdateWriter.update_database,
            "_record_spend_log": DBSpendUpdateWriter._record_spend_log,
            "_batch_database_updates": DBSpendUpdateWriter._batch_database_updates,
            "_commit_spend_updates_to_db": DBSpendUpdateWriter._commit_spend_updates_to_db,
            "_update_daily_spend": DBSpendUpdateWriter._update_daily_spend,
            "db_update_spend_transaction_handler": DBSpendUpdateWriter.db_update_spend_transaction_handler,
            "_PROXY_track_cost_callback": _ProxyDBLogger._PROXY_track_cost_callback,
            "_finalize_completed_stream": CustomStreamWrapper._finalize_completed_stream,
        },
        KNOWN,
    )
    if proxy_server.general_settings.get("use_redis_transaction_buffer"):
        raise JournalError("The usage journal does not work with use_redis_transaction_buffer: remove that setting")
    directory = os.environ.get("LAB_JOURNAL_DIR")
    if not directory:
        raise JournalError("LAB_JOURNAL_DIR is not set: it names the folder of the usage journal")
    journal = Journal(Path(directory))
    atexit.register(journal.close)
    recorder = Recorder(
        journal,
        Accountant(journal),
        is_batch_row=_is_batch_cost_row,
        spend_is_disabled=ProxyUpdateSpend.disable_spend_updates,
    )
    recorder.install(
        proxy_server.proxy_logging_obj.db_spend_update_writer, _ProxyDBLogger, proxy_server.ProxyStartupEvent
    )
    guards.install_stream_guard(CustomStreamWrapper)
    litellm.global_disable_no_log_param = True  # a caller could otherwise switch off the log of its own calls
    transport = RuntimeTransport()
    transport.install()
    return LabHandler(recorder, _deployments, _catalogue, Refused, ProxyLogging.fire_deferred_stream_logging, transport)


hooks.installed = handler = hooks.installed or _install()
