"""The model process: llama.cpp's own HTTP server through xllamacpp, one process for each loaded model."""

from __future__ import annotations

import argparse
import os
import signal
import sys

import xllamacpp  # type: ignore[import-not-found,unused-ignore]


def main() -> int:
    """Serve one model file on a loopback port until a signal ends the process."""
    parser = argparse.ArgumentParser(prog="llama-server")
    parser.add_argument("--model", required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--ctx-size", type=int, required=True, help="tokens of each slot")
    parser.add_argument("--parallel", type=int, default=1)
    arguments = parser.parse_args()
    params = xllamacpp.CommonParams()
    params.model.path = arguments.model
    params.hostnames = ["127.0.0.1"]
    params.port = arguments.port
    params.n_parallel = arguments.parallel
    params.n_ctx = arguments.ctx_size * arguments.parallel
    params.ctx_shift = True
    params.warmup = False
    # Threads that wait for each other in a loop crawl where the tests' other processes take the processors.
    params.cpuparams.n_threads = max(1, (os.cpu_count() or 1) // 2)
    params.verbosity = 0
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL)
    try:
        server = xllamacpp.Server(params)
    except RuntimeError as error:
        print(f"error loading model: {error}", file=sys.stderr)
        return 1
    print(f"serving {server.listening_address}", file=sys.stderr, flush=True)
    while True:
        signal.pause()


if __name__ == "__main__":
    sys.exit(main())
