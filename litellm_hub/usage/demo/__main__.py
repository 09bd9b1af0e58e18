"""Keeps a made-up log until standard input ends: what `demo.start` runs beside itself.

Whatever becomes of the process that started it, closed, killed or crashed, its end of the pipe closes, and the server
and its folder go.
"""

from __future__ import annotations

import os
import select
import shutil
import signal
import sys
import tempfile
from pathlib import Path
from typing import Any

from litellm_hub.usage.demo import filling
from litellm_hub.usage.demo.postgres import Server, programs

_REFRESH_S = 60.0


def main() -> int:
    """Make the log, print its address, keep it; return 0, or 1 with words on standard error.

    Arguments of the command line: the seed, the number of requests, the folder of PostgreSQL's programs or nothing.
    """
    seed, requests, *folder = sys.argv[1:]
    _on_signals(lambda *_: sys.exit(1))
    # No address, no account and no option of another database is to be found by what runs from here on.
    for name in [name for name in os.environ if name.startswith("PG") or name.endswith("DATABASE_URL")]:
        del os.environ[name]
    home = Path(tempfile.mkdtemp(prefix="genailabs-demo-"))
    server = None
    try:
        server = Server(programs(Path(folder[0]) if folder else None), home)
        server.create()
        server.start()
        filling.create_database(server)
        filling.fill(server, seed=int(seed), requests=int(requests))
        print(server.url_of(filling.DATABASE, filling.READER), flush=True)
        while not select.select([sys.stdin], [], [], _REFRESH_S)[0]:
            filling.keep_fresh(server)
    except (LookupError, RuntimeError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    finally:
        _on_signals(signal.SIG_IGN)
        if server is not None and (home / "data/postmaster.pid").exists():
            server.stop()
        shutil.rmtree(home, ignore_errors=True)
    return 0


def _on_signals(action: Any) -> None:
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(number, action)


if __name__ == "__main__":
    sys.exit(main())
