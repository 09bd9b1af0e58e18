"""Serve one GGUF file over llama.cpp's OpenAI-compatible API, in this process.

Requests need the key in the environment variable RUNTIME_API_KEY, so that nobody passes by the gateway.

Usage: server.py --model FILE --alias NAME --port PORT --context TOKENS --parallel N [--threads N] [--cache-mb MB]
    [--idle SECONDS]
"""

import argparse
import os
import signal

import xllamacpp

LOOPBACK = "127.0.0.1"  # the gateway on this host is the only client


def main() -> None:
    """Load the model, serve until SIGTERM or SIGINT."""
    parser = argparse.ArgumentParser(description="Serve one GGUF file.")
    parser.add_argument("--model", required=True)
    parser.add_argument("--alias", required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--context", type=int, required=True, help="tokens for each request")
    parser.add_argument("--parallel", type=int, required=True, help="requests at the same time")
    parser.add_argument("--threads", type=int, default=0, help="0: llama.cpp chooses")
    parser.add_argument("--cache-mb", type=int, default=256, help="memory for the prompts of earlier requests")
    parser.add_argument("--idle", type=int, default=-1, help="seconds without a request until it leaves the memory")
    arguments = parser.parse_args()

    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})  # the server's threads inherit it
    params = xllamacpp.CommonParams()
    params.model.path = arguments.model
    params.model_alias = {arguments.alias}
    params.hostnames = [LOOPBACK]
    params.port = arguments.port
    params.api_keys = [os.environ["RUNTIME_API_KEY"]]
    params.n_parallel = arguments.parallel
    params.n_ctx = arguments.context * arguments.parallel  # llama.cpp divides it among the slots
    params.kv_unified = False
    params.ctx_shift = False
    params.cache_ram_mib = arguments.cache_mb
    params.sleep_idle_seconds = arguments.idle
    params.ui = False
    if arguments.threads:
        params.cpuparams.n_threads = arguments.threads
    server = xllamacpp.Server(params)
    print(f"serving {arguments.alias} at {server.listening_address}", flush=True)
    signal.sigwait({signal.SIGTERM, signal.SIGINT})


if __name__ == "__main__":
    main()
