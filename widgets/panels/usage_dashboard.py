"""The usage dashboard: filters, figures, linked charts and the requests behind them.

One thread of its own asks the log, so that the kernel stays free and the page usable; it always takes the latest choice
and drops what was asked before. Nothing of the log is part of the widget's state, which notebooks may save: it travels
in messages. From a view: `open`, `choose` (with `choice`), `rows` (with `bucket`, `more`), `refresh`. To all views:
`busy`, `view`, `rows`, `problem`, `warnings`.
"""

from __future__ import annotations

import functools
import logging
import threading
from datetime import UTC, datetime
from typing import Any

import vl_convert
from sqlalchemy import Engine

from litellm_hub import usage
from litellm_hub.client import HubClient
from litellm_hub.client.errors import HubError
from litellm_hub.usage.frames import valid_zone
from widgets.panels import assets, usage_view
from widgets.panels.message_panel import Message, MessagePanel
from widgets.panels.usage_view import Choice

log = logging.getLogger(__name__)


@functools.cache
def module() -> str:
    """Return the front end with Vega in it: nothing is loaded from the net."""
    source = assets.text("usage.js")
    return str(vl_convert.javascript_bundle(source))


class UsageDashboard(MessagePanel):
    """A dashboard of the usage log for people who write no code.

    What the hub at LITELLM_BASE_URL warns of, such as a log that is behind, stands above the figures.

    Args:
        span: Time range to begin with: "24h", "7d", "30d", "90d" or "all".
        database: Address of the log; default: LAB_DATABASE_URL. It stays in the kernel. No hub is asked about another.

    Raises:
        ValueError: There is no such span.
    """

    _css = assets.text("usage.css")

    def __init__(self, span: str = "7d", *, database: str | None = None) -> None:
        self._changed = threading.Condition()
        self._closed = False
        if span not in (*usage_view.SPANS, "all"):
            raise ValueError(f"span is {span!r}: give one of {', '.join(usage_view.SPANS)}, all")
        self._database = database
        self._hub = HubClient() if database is None else None
        self._engine: Engine | None = None
        self._choice = Choice(span=span)
        self._shown: dict[str, dict[str, Any]] = {}
        self._cursor: usage.Cursor | None = None
        self._bucket: tuple[str, str] | None = None
        self._further = False
        self._wanted: dict[str, Any] | None = None
        super().__init__(_esm=module())
        self._handlers |= {
            "open": self._open,
            "choose": lambda message: self._want({"type": "view", "choice": message.get("choice")}),
            "refresh": lambda _: self.refresh(),
            "rows": lambda message: self._want({name: message.get(name) for name in ("type", "bucket", "more")}),
        }
        threading.Thread(target=self._work, name="usage-dashboard", daemon=True).start()

    def refresh(self) -> None:
        """Ask the log again. Returns at once; the page follows."""
        self._want({"type": "view"})

    def close(self) -> None:
        """Remove the dashboard, and leave the log."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        super().close()

    def _open(self, message: Message) -> None:
        for shown in list(self._shown.values()):
            self.send(shown)
        if "view" not in self._shown:
            self._want({"type": "view", "zone": message.get("zone")})

    def _want(self, wanted: dict[str, Any]) -> None:
        with self._changed:
            # A whole view that still waits must not be lost to a page of rows that comes after it.
            if self._wanted and self._wanted["type"] == "view" and wanted["type"] == "rows":
                return
            self._wanted = wanted
            self._changed.notify()

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._wanted is not None or self._closed)
                wanted, self._wanted = self._wanted, None
            if self._closed or wanted is None:
                break
            self.send({"type": "busy", "busy": True})
            try:
                self._answer(wanted)
                self._shown.pop("problem", None)
            except HubError as error:
                self._engine = None  # the database may be another one after its remedy
                self._tell({"type": "problem", "reason": error.reason, "remedy": error.remedy})
            except ValueError as error:
                self._tell({"type": "problem", "reason": str(error), "remedy": "Choose something else."})
            except Exception as error:  # a thread that ended here would leave the page waiting for ever
                log.exception("The usage dashboard failed.")
                reason = f"The dashboard failed ({type(error).__name__})."
                self._tell({"type": "problem", "reason": reason, "remedy": "The kernel's log says more. Try Refresh."})
            finally:
                self.send({"type": "busy", "busy": False})
        if self._engine is not None:
            self._engine.dispose()

    def _answer(self, wanted: dict[str, Any]) -> None:
        now = datetime.now(UTC)
        if wanted["type"] == "rows":
            self._list(now, wanted.get("bucket"), more=bool(wanted.get("more")))
            return
        again = "view" in self._shown and not wanted.get("choice")
        given = wanted.get("choice") or {**vars(self._choice), **_zone(wanted.get("zone"))}
        choice = Choice.read(given)
        found = usage_view.view(self._log(), choice, now)
        self._choice = choice
        self._tell({"type": "view", "choice": vars(choice), "at": now.isoformat(), **found})
        # A live page must not take away the requests that somebody is reading.
        if not (again and self._further):
            self._list(now, self._bucket if again else None, more=False)
        if not wanted.get("choice"):
            self._ask_the_hub()

    def _ask_the_hub(self) -> None:
        """Show what the hub warns of; one that does not answer is no news for who reads figures."""
        try:
            found = self._hub.warnings() if self._hub else []
        except HubError:
            found = []
        if found != self._shown.get("warnings", {}).get("warnings", []):
            self._tell({"type": "warnings", "warnings": found})

    def _list(self, now: datetime, bucket: Any, *, more: bool) -> None:
        self._further = more
        if not more:
            self._cursor = None
            pair = isinstance(bucket, list | tuple) and len(bucket) == 2
            self._bucket = (str(bucket[0]), str(bucket[1])) if pair else None
        page, self._cursor = usage_view.rows(self._log(), self._choice, now, self._bucket, self._cursor)
        message = {"type": "rows", "rows": page, "more": self._cursor is not None, "bucket": self._bucket}
        if more:
            self.send({**message, "added": True})
        else:
            self._tell(message)

    def _tell(self, message: dict[str, Any]) -> None:
        """Send a message, and keep it for views that open later."""
        self._shown[message["type"]] = message
        self.send(message)

    def _log(self) -> Engine:
        if self._engine is None:
            self._engine = usage.connect(self._database)
        return self._engine


def _zone(name: object) -> dict[str, str]:
    """Return the browser's time zone as part of a choice, if this machine knows it."""
    try:
        return {"zone": valid_zone(name)} if isinstance(name, str) else {}
    except ValueError:
        return {}
