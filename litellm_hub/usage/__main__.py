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

    trace = commands.add_parser("load-trace", help="load a public trace into a scratch database")
    trace.add_argument("file", type=Path, help="Azure LLM inference, Mooncake or BurstGPT; as it is or packed by gzip")
    trace.add_argument("--database", required=True, help="address of the scratch database, of a user who may write")
    trace.add_argument("--name", default="", help="name of the trace (default: the file's)")
    trace.add_argument("--start", type=_instant, help="when a trace with relative times begins (default: 2024-01-01)")
    trace.add_argument("--prompt-speed", type=float, help="tokens of the prompt per second, to model durations")
    trace.add_argument("--answer-speed", type=float, help="tokens of the answer per second, to model durations")
    trace.add_argument("--replace", action="store_true", help="replace the same trace, loaded before")
    trace.set_defaults(run=_load_trace)

    export = commands.add_parser("export", help="write the log as Parquet or CSV, a file for each day or month")
    export.add_argument("folder", type=Path)
    export.add_argument("--format", choices=("parquet", "csv"), default="parquet")
    export.add_argument("--by", choices=("day", "month"), default="day")
    export.add_argument("--since", type=_instant, help="such as 2026-10-01 or 2026-10-01T12:00+02:00 (default: all)")
    export.add_argument("--until", type=_instant, help="the first instant that is left out (default: now)")
    export.add_argument("--zone", default="UTC", help="time zone of days and months (default: %(default)s)")
    export.add_argument("--model", help="only this model")
    export.add_argument("--anonymous", action="store_true", help="keyed hashes instead of names")
    export.add_argument("--key-file", type=Path, help="the key for --anonymous; made if missing (default: FOLDER.key)")
    export.set_defaults(run=_export)

    report = commands.add_parser("report", help="write a month's usage as one HTML page")
    report.add_argument("--month", required=True, help="such as 2026-10")
    report.add_argument("--out", type=Path, required=True, help="the page")
    report.add_argument("--zone", default="UTC", help="time zone of the month (default: %(default)s)")
    report.set_defaults(run=_report)
    for command in (export, report):
        command.add_argument("--database", help="address of the log (default: LAB_DATABASE_URL)")

    prices = commands.add_parser("update-prices", help="take the cloud's prices anew from the LiteLLM installed")
    prices.set_defaults(run=_update_prices)
    return parser


def _instant(text: str) -> datetime:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no time such as 2026-10-01 or 2026-10-01T12:00+02:00") from None
    return found if found.utcoffset() is not None else found.replace(tzinfo=UTC)


def _load_trace(options: argparse.Namespace) -> None:
    from litellm_hub.usage.trace_formats import FIRST_DAY
    from litellm_hub.usage.traces import Speed, load_trace

    speeds = (options.prompt_speed, options.answer_speed)
    if (speeds[0] is None) != (speeds[1] is None):
        raise ValueError("give both --prompt-speed and --answer-speed, or neither")
    loaded = load_trace(
        options.file,
        options.database,
        name=options.name,
        start=options.start or FIRST_DAY,
        speed=None if speeds[0] is None else Speed(*speeds),
        replace=options.replace,
    )
    span = f", {loaded.first:%Y-%m-%d %H:%M} to {loaded.last:%Y-%m-%d %H:%M} UTC" if loaded.first else ""
    print(f"{loaded.name}: {loaded.requests:,} requests{span}")


def _export(options: argparse.Namespace) -> None:
    from litellm_hub.usage.export import Written, export, make_key

    key = None
    if options.anonymous:
        file = options.key_file or options.folder.with_name(options.folder.name + ".key")
        key = make_key(file)
        print(f"The key is in {file}: who has it can recompute the hashes. Do not share it with the files.")

    def progress(number: int, number_of_all: int, file: Written) -> None:
        gone = f", of {file.expected:,}: the others were removed for their age" if file.rows < file.expected else ""
        state = "was there already" if file.kept else f"{file.rows:,} requests{gone}"
        print(f"{number}/{number_of_all} {file.path.name}: {state}", flush=True)

    where = UsageFilter(since=options.since, until=options.until, model=options.model)
    engine = connect(options.database, statement_timeout=_LONG)
    written = export(
        engine,
        options.folder,
        where,
        period=options.by,
        form=options.format,
        key=key,
        tz=options.zone,
        progress=progress,
    )
    if not written:
        print("No requests in this time span: nothing to write.")


def _report(options: argparse.Namespace) -> None:
    from litellm_hub.usage.report import Month, write_report

    month = Month.of(options.month, options.zone)
    engine = connect(options.database, statement_timeout=_LONG)
    write_report(engine, month, options.out, tz=options.zone)
    print(options.out)


def _update_prices(_options: argparse.Namespace) -> None:
    from litellm_hub.usage.prices import FILE, update

    update(date.today())
    print(FILE)


if __name__ == "__main__":
    sys.exit(main())
