"""What can go wrong between a notebook and the usage log; part of the tree in `litellm_hub.client.errors`."""

from __future__ import annotations

from litellm_hub.client.errors import HubError


class UsageError(HubError):
    """Base of all errors of `litellm_hub.usage`, and the error for a failure that is none of the others."""

    remedy_by_default = "Read PostgreSQL's words in `detail`, and the database's log if they do not suffice."


class LogNotConfigured(UsageError):  # noqa: N818 - the names read as what happened
    """The address of the usage log is missing or is not the address of a PostgreSQL database."""

    remedy_by_default = (
        "Set LAB_DATABASE_URL to postgresql://lab_reader:PASSWORD@HOST:PORT/DATABASE; in the lab's own notebooks it is"
        " set already (notebook.env in the lab's home)."
    )


class LogUnreachable(UsageError):  # noqa: N818
    """No database answers at the address, or it stopped answering."""

    remedy_by_default = "Start the lab with `make up`, or correct host and port in LAB_DATABASE_URL."


class LogLoginRefused(UsageError):  # noqa: N818
    """The database answers, but refuses user, password or database name."""

    remedy_by_default = "Take LAB_DATABASE_URL from notebook.env in the lab's home, and restart the notebook's kernel."


class LogNotReady(UsageError):  # noqa: N818
    """The database has no usage log for this user: the view is missing or its rights are."""

    remedy_by_default = "Run `make up` again: it makes the view lab.usage_log and the reader's rights."


class PromptsNotPermitted(UsageError):  # noqa: N818
    """Prompts and answers are kept from this database user."""

    remedy_by_default = (
        "Whoever runs the lab can permit it: make up ARGS='-e usage_show_prompts=true', and have them stored first"
        " with -e gateway_store_prompts=true."
    )


class QueryTooSlow(UsageError):  # noqa: N818
    """A statement ran into the connection's time limit."""

    remedy_by_default = "Ask for less with UsageFilter(since=...), or connect with a larger statement_timeout."
