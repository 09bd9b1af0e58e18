"""Offer the host's model runtime, which comes as Unix sockets, on the container's own loopback.

A runtime without authentication must not listen where a neighbour could reach it, and a container's bridge is such a
place. A socket in a mounted folder is reached by those alone who may enter the folder.
"""

import asyncio
import contextlib
import threading
from pathlib import Path

CHUNK = 1 << 16


async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Pass on what comes until its end, then say so."""
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(CHUNK):
            writer.write(data)
            await writer.drain()
        writer.write_eof()


async def serve(folder: Path, port: int) -> None:
    """Accept connections on loopback and pass each to the socket `folder/PORT.sock`.

    Args:
        folder: Holds the sockets; may come into being later.
        port: TCP port on 127.0.0.1, and name of the socket.
    """

    async def connect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.closing(writer), contextlib.suppress(OSError):  # a runtime that is down closes the connection
            inner_reader, inner_writer = await asyncio.open_unix_connection(str(folder / f"{port}.sock"))
            with contextlib.closing(inner_writer):
                # A client that goes away must end the generation: either end closes both.
                ways = [copy(reader, inner_writer), copy(inner_reader, writer)]
                _, waiting = await asyncio.wait(map(asyncio.ensure_future, ways), return_when=asyncio.FIRST_COMPLETED)
                for task in waiting:
                    task.cancel()

    server = await asyncio.start_server(connect, "127.0.0.1", port)
    await server.serve_forever()


def start(folder: Path, ports: list[int]) -> None:
    """Relay in a thread of its own until the process ends.

    Args:
        folder: Holds the sockets.
        ports: Ports to offer.
    """

    async def run() -> None:
        await asyncio.gather(*(serve(folder, port) for port in ports))

    threading.Thread(target=asyncio.run, args=(run(),), name="runtime-relay", daemon=True).start()
