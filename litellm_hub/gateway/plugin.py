"""Entry point for LiteLLM's configuration: `litellm_settings: {callbacks: [litellm_hub.gateway.plugin.handler]}`.

Loading this module opens the journal in the directory `LAB_JOURNAL_DIR` and applies what an earlier process left there,
before the first request. LiteLLM's own writer must be off: `general_settings: {disable_spend_updates: true}`.
"""

import importlib.metadata
import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import litellm
import psycopg
from litellm.proxy import proxy_server
from litellm.proxy._types import ProxyException

from litellm_hub.gateway import entry, guards, hooks, model_notes, patch_stream_end, readiness, rows
from litellm_hub.gateway.accounts import Accounts
from litellm_hub.gateway.admission import Admission
from litellm_hub.gateway.hooks import LabHandler
from litellm_hub.gateway.journal import Journal, JournalError
from litellm_hub.gateway.runtime import RuntimeTransport
from litellm_hub.gateway.writer import LATE_SECONDS, Writer

log = logging.getLogger("litellm_hub.journal")

TESTED_LITELLM = "1.106.2"


class Refused(ProxyException):
    """The proxy's form of a guard's refusal, with a code for programs."""

    def __init__(self, error: guards.RefusedError) -> None:
        """Take over the guard's message."""
        super().__init__(message=str(error), type="invalid_request_error", param=error.param, code=400)
        self._code = error.code

    def to_dict(self) -> dict[str, Any]:
        """Return the error body; LiteLLM's own `code` is the HTTP status."""
        return {**super().to_dict(), "code": self._code}


def untested_version() -> str:
    """Return a warning where the installed LiteLLM is not the one that the lab was tested with, else nothing."""
    version = importlib.metadata.version("litellm")
    tested = version == TESTED_LITELLM
    return "" if tested else f"LiteLLM {version} is untested with this lab, which was tested with {TESTED_LITELLM}"


def for_libpq(url: str) -> str:
    """Leave out what LiteLLM adds to its address for Prisma, which libpq refuses."""
    known = {option.keyword.decode() for option in psycopg.pq.Conninfo.get_defaults()}
    parts = urlsplit(url)
    query = [(name, value) for name, value in parse_qsl(parts.query) if name in known]
    return urlunsplit(parts._replace(query=urlencode(query)))


def _install() -> LabHandler:
    directory = os.environ.get("LAB_JOURNAL_DIR")
    if not directory:
        raise JournalError("LAB_JOURNAL_DIR is not set: it names the folder of the usage journal")
    journal = Journal(Path(directory))
    writer = Writer(journal, for_libpq(os.environ["DATABASE_URL"]), rows.COLUMNS)
    writer.catch_up()
    writer.start()
    entry.ENDINGS.extend((writer.stop, journal.close))
    patch_stream_end.install()
    litellm.global_disable_no_log_param = True  # a caller could otherwise switch off the log of its own calls
    transport = RuntimeTransport()
    transport.install()
    accounts = Accounts(journal, proxy_server, rows)
    untested = untested_version()
    if untested:
        log.warning("%s", untested)

    def state() -> Mapping[str, object]:
        waiting, oldest, set_aside, trouble = writer.state()
        found = readiness.of_accounts(waiting, oldest, set_aside, trouble, late=LATE_SECONDS)
        if untested:
            found["warnings"].append(untested)
        if accounts.unpriced:
            found["warnings"].append(
                f"LiteLLM found no price for {accounts.unpriced} answers, which have the catalogue's"
            )
        return found

    readiness.SOURCES.append(state)
    queues = Admission(lambda: float(litellm.request_timeout))
    handler = LabHandler(accounts, proxy_server, Refused, transport, queues)
    model_notes.SOURCES.append(model_notes.ModelNotes(handler.deployments, place=queues.place))
    return handler


hooks.installed = handler = hooks.installed or _install()
