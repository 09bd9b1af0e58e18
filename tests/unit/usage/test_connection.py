import socket
from typing import Any

import psycopg2
import pytest
from sqlalchemy import make_url
from sqlalchemy.exc import OperationalError

from litellm_hub import usage
from litellm_hub.client.errors import HubError
from litellm_hub.usage.connection import reading

PASSWORD = "correct-horse"


def test_without_address_the_variable_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LAB_DATABASE_URL", raising=False)
    with pytest.raises(usage.LogNotConfigured, match="LAB_DATABASE_URL is not set") as caught:
        usage.connect()
    assert "notebook.env" in caught.value.remedy
    assert isinstance(caught.value, HubError)


@pytest.mark.parametrize("url", ["", "  "])
def test_a_blank_address_counts_as_none(url: str) -> None:
    with pytest.raises(usage.LogNotConfigured, match="not set"):
        usage.connect(url)


@pytest.mark.parametrize(
    "url", [f"postgresql//lab:{PASSWORD}@h", f"postgresql://lab:{PASSWORD}@h:port/db", f"mysql://lab:{PASSWORD}@h/db"]
)
def test_a_wrong_address_is_refused_without_showing_the_password(url: str) -> None:
    with pytest.raises(usage.LogNotConfigured) as caught:
        usage.connect(url)
    assert PASSWORD not in str(caught.value) + caught.value.detail
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


@pytest.mark.parametrize("scheme", ["postgresql", "postgres", "postgresql+psycopg"])
def test_a_port_without_database_is_unreachable(scheme: str) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        with pytest.raises(usage.LogUnreachable, match=f"127.0.0.1:{port} does not answer") as caught:
            usage.connect(f"{scheme}://lab:{PASSWORD}@127.0.0.1:{port}/db")
    assert "make up" in caught.value.remedy
    assert PASSWORD not in str(caught.value) + caught.value.detail


@pytest.mark.parametrize("seconds", [0, -1])
def test_a_time_limit_of_nothing_is_refused(seconds: float) -> None:
    with pytest.raises(ValueError, match="above 0"):
        usage.connect("postgresql://h/db", statement_timeout=seconds)


class DriverError(psycopg2.OperationalError):
    pgcode: Any = None


class BrokenEngine:
    """An engine whose connections fail with the driver's words."""

    url = make_url("postgresql://ada@h:5433/hub")

    def __init__(self, words: str, sqlstate: str | None) -> None:
        self.error = DriverError(words)
        self.error.pgcode = sqlstate

    def connect(self) -> Any:
        raise OperationalError("SELECT", {}, self.error)


@pytest.mark.parametrize(
    ("words", "sqlstate", "kind"),
    [
        ('FATAL:  password authentication failed for user "ada"', None, usage.LogLoginRefused),
        ("fe_sendauth: no password supplied", None, usage.LogLoginRefused),
        ('FATAL:  database "hub" does not exist', None, usage.LogLoginRefused),
        ("FATAL:  the database system is starting up", None, usage.LogUnreachable),
        ("server closed the connection unexpectedly", None, usage.LogUnreachable),
        ("canceling statement due to statement timeout", "57014", usage.QueryTooSlow),
        ('relation "lab.usage_log" does not exist', "42P01", usage.LogNotReady),
        ("permission denied for view usage_log", "42501", usage.LogNotReady),
        ("division by zero", "22012", usage.UsageError),
    ],
)
def test_driver_errors_become_the_package_s_own(words: str, sqlstate: str | None, kind: type) -> None:
    engine: Any = BrokenEngine(words, sqlstate)
    with pytest.raises(usage.UsageError) as caught, reading(engine):
        pass
    assert type(caught.value) is kind
    assert caught.value.detail == words
    assert caught.value.remedy
