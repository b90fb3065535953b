"""Servers on loopback in place of the processes of containers, all in one thread."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from urllib.parse import parse_qs, urlsplit


class LoopbackTargets:
    """Servers by name, which answer as the sample application does.

    `GET /exit?code=1` ends the process of a server: `on_exit` gets its name and the code. `GET /print?line=` prints a
    line: `on_line`. `/status?code=503` has that status. `/hold?key=1` has a response after a `/release?key=1` at any
    server. Both may have a prefix, such as `/api/hold`.

    Safe to use from any thread.
    """

    def __init__(self, on_exit: Callable[[str, int], None], on_line: Callable[[str, str], None]) -> None:
        self._on_exit = on_exit
        self._on_line = on_line
        self._servers: dict[str, asyncio.Server] = {}
        self._clients: dict[str, set[asyncio.StreamWriter]] = {}
        self._wanted: set[str] = set()
        self._released: dict[str, asyncio.Event] = {}
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, name="targets", daemon=True).start()

    def start(self, name: str, address: str, port: int, health: int) -> None:
        """Let a server listen soon. `health` is the status of its health checks."""
        self._loop.call_soon_threadsafe(self._begin, name, address, port, health)

    def stop(self, name: str) -> None:
        """Close a server and its connections soon, as the end of its process does. Does nothing if there is none."""
        self._loop.call_soon_threadsafe(self._end, name)

    def _begin(self, name: str, address: str, port: int, health: int) -> None:
        self._wanted.add(name)
        self._task = self._loop.create_task(self._listen(name, address, port, health))

    async def _listen(self, name: str, address: str, port: int, health: int) -> None:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            clients = self._clients.setdefault(name, set())
            clients.add(writer)
            with suppress(OSError, ValueError, asyncio.IncompleteReadError):
                while line := await reader.readline():
                    await self._answer(name, health, line, reader, writer)
            clients.discard(writer)
            writer.close()

        server = await asyncio.start_server(serve, address, port, backlog=1024)
        if name in self._wanted:
            self._servers[name] = server
        else:
            server.close()

    def _end(self, name: str) -> None:
        self._wanted.discard(name)
        if server := self._servers.pop(name, None):
            server.close()
        for writer in self._clients.pop(name, set()):
            writer.transport.abort()

    async def _answer(
        self, name: str, health: int, line: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        _, target, _ = line.decode("latin-1").split()
        length = 0
        while (header := await reader.readline()) not in (b"\r\n", b""):
            key, _, value = header.decode("latin-1").partition(":")
            if key.lower() == "content-length":
                length = int(value)
        body = await reader.readexactly(length)
        url = urlsplit(target)
        query = {key: values[-1] for key, values in parse_qs(url.query).items()}
        status = health if url.path == "/healthz" else int(query.get("code", 200)) if url.path == "/status" else 200
        key = query.get("key", "")
        if url.path.endswith("/hold"):
            await self._released.setdefault(key, asyncio.Event()).wait()
        if url.path.endswith("/release"):
            self._released.pop(key, asyncio.Event()).set()
        if url.path == "/print":
            self._on_line(name, query.get("line", ""))
        content = body if url.path == "/echo" else f"{name}\n".encode()
        writer.write(f"HTTP/1.1 {status} .\r\nContent-Length: {len(content)}\r\n\r\n".encode() + content)
        await writer.drain()
        if url.path == "/exit":
            self._on_exit(name, int(query.get("code", 0)))
