"""Pass connections on between a Unix socket and a TCP port: `python relay.py LISTEN TARGET`, each a path or HOST:PORT.

A runtime without authentication must not listen where a neighbour could reach it, and a container's bridge is such a
place. A socket in a mounted folder is reached by those alone who may enter the folder: on the host one relay makes it
of the runtime's port, in the gateway's container another makes the same port of it.
"""

import asyncio
import contextlib
import json
import sys
import threading
from pathlib import Path

CHUNK = 1 << 16
REQUEST_PAUSE_S = 0.2  # silence after which a request has come whole


async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Pass on what comes until its end, then say so."""
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(CHUNK):
            writer.write(data)
            await writer.drain()
        writer.write_eof()


async def connect(target: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Open a connection to a path or HOST:PORT."""
    if target.startswith("/"):
        return await asyncio.open_unix_connection(target)
    host, _, port = target.rpartition(":")
    return await asyncio.open_connection(host, int(port))


async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, reason: str) -> None:
    """Answer an HTTP request with 503: a connection that just closes would give the caller no reason."""
    # Unread bytes at the close would reset the connection, and take the answer with them.
    with contextlib.suppress(TimeoutError):
        while await asyncio.wait_for(reader.read(CHUNK), REQUEST_PAUSE_S):
            pass
    body = json.dumps({"error": {"message": reason}}).encode()
    head = f"HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    writer.write(f"{head}Connection: close\r\n\r\n".encode() + body)
    await writer.drain()


async def serve(listen: str, target: str) -> None:
    """Accept connections and pass each on, for ever.

    Args:
        listen: Path of the Unix socket to make, or HOST:PORT.
        target: Path or HOST:PORT; need not be there yet. A request that finds it down is answered with 503.
    """

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.closing(writer), contextlib.suppress(OSError):
            try:
                inner_reader, inner_writer = await connect(target)
            except OSError as error:
                await refuse(reader, writer, f"the model runtime is down ({target}: {error.strerror})")
                return
            with contextlib.closing(inner_writer):
                # A client that goes away must end the generation, so the end of one way ends both.
                ways = [copy(reader, inner_writer), copy(inner_reader, writer)]
                _, waiting = await asyncio.wait(map(asyncio.ensure_future, ways), return_when=asyncio.FIRST_COMPLETED)
                for task in waiting:
                    task.cancel()

    if listen.startswith("/"):
        with contextlib.suppress(FileNotFoundError):
            Path(listen).unlink()  # a killed relay leaves its socket
        server = await asyncio.start_unix_server(accept, listen)
        Path(listen).chmod(0o666)  # who may enter its folder may connect
    else:
        host, _, port = listen.rpartition(":")
        server = await asyncio.start_server(accept, host, int(port))
    await server.serve_forever()


def start(pairs: list[tuple[str, str]]) -> None:
    """Relay in a thread of its own until the process ends.

    Args:
        pairs: Where to listen and where to connect, as for `serve`.
    """

    async def run() -> None:
        await asyncio.gather(*(serve(*pair) for pair in pairs))

    threading.Thread(target=asyncio.run, args=(run(),), name="runtime-relay", daemon=True).start()


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1], sys.argv[2]))
