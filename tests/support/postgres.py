"""A PostgreSQL server of the test run's own."""

from __future__ import annotations

UNPRIVILEGED_ACCOUNT = "nobody"  # PostgreSQL refuses to run as root
