"""The usage log from the command line: python -m litellm_hub.usage COMMAND --help."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from datetime import UTC, date, datetime
from pathlib import Path

from litellm_hub.client.errors import HubError
from litellm_hub.usage.connection import connect
from litellm_hub.usage.filters import UsageFilter

_LONG = 600.0  # seconds; nobody waits before a screen
_DEMO = """
They are there until Ctrl+C. To see them in a usage notebook, put this into a new first cell and run all cells:

    %env LAB_DATABASE_URL={url}

What runs from a shell, such as `jupyter nbconvert --execute`, takes it with `export` in place of %env and in quotes.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; return 0, or 1 with words on standard error where it cannot be done."""
    options = _parser().parse_args(arguments)
    try:
        options.run(options)
    except (HubError, ValueError, LookupError, OSError) as error:
        print(f"{options.command}: {error}", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m litellm_hub.usage", description="Work with the hub's usage log.")
    commands = parser.add_subparsers(dest="command", required=True)

    export = commands.add_parser("export", help="write the log as Parquet or CSV: one file, or a file for each day")
    export.add_argument("target", type=Path, help="a file that ends in .parquet or .csv, or a folder")
    export.add_argument("--format", choices=("parquet", "csv"), default="parquet", help="of the files in a folder")
    export.add_argument("--since", type=_instant, help="such as 2026-10-01 or 2026-10-01T12:00+02:00 (default: all)")
    export.add_argument("--until", type=_instant, help="the first instant that is left out (default: now)")
    export.add_argument("--zone", default="UTC", help="time zone of the days (default: %(default)s)")
    export.add_argument("--model", help="only this model")
    export.add_argument("--database", help="address of the log (default: LAB_DATABASE_URL)")
    export.set_defaults(run=_export)

    demo = commands.add_parser("demo", help="make up a log to look at, until Ctrl+C; the lab's own stays as it is")
    demo.add_argument("--seed", type=int, default=1, help="another one makes other requests (default: %(default)s)")
    demo.add_argument("--requests", type=int, default=40_000, help="how many, in 120 days (default: %(default)s)")
    demo.add_argument(
        "--programs", type=Path, metavar="FOLDER", help="of PostgreSQL (default: the lab's or the machine's)"
    )
    demo.set_defaults(run=_demo)

    prices = commands.add_parser("update-prices", help="take the cloud's prices anew from the LiteLLM installed")
    prices.set_defaults(run=_update_prices)
    return parser


def _instant(text: str) -> datetime:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no time such as 2026-10-01 or 2026-10-01T12:00+02:00") from None
    return found if found.utcoffset() is not None else found.replace(tzinfo=UTC)


def _export(options: argparse.Namespace) -> None:
    from litellm_hub.usage.export import export

    where = UsageFilter(since=options.since, until=options.until, model=options.model)
    engine = connect(options.database, statement_timeout=_LONG)
    for path, rows in export(engine, options.target, where, form=options.format, tz=options.zone):
        print(f"{path}: {rows:,} requests", flush=True)


def _demo(options: argparse.Namespace) -> None:
    from litellm_hub.usage import demo

    print("Making up some weeks of requests …", flush=True)
    with demo.start(seed=options.seed, requests=options.requests, programs=options.programs) as made_up:
        print(_DEMO.format(url=made_up.url), flush=True)
        try:
            made_up.wait()
        except KeyboardInterrupt:
            print("\nRemoved.")
            return
    raise OSError("the made-up log's server was ended by something else")


def _update_prices(_options: argparse.Namespace) -> None:
    from litellm_hub.usage.prices import FILE, update

    update(date.today())
    print(FILE)


if __name__ == "__main__":
    sys.exit(main())
