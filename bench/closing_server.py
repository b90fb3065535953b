"""An HTTP server that closes each connection some seconds after its last response.

`python -m bench.closing_server SECONDS` prints the port.
"""

from __future__ import annotations

import asyncio
import sys


class _Connection(asyncio.Protocol):
    """One connection. Every request gets a response at once."""

    def __init__(self, idle: float) -> None:
        self._idle = idle
        self._buffer = b""
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def connection_lost(self, _: Exception | None) -> None:
        if self._timer:
            self._timer.cancel()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, end, body = self._buffer.partition(b"\r\n\r\n")
        if not end or len(body) < content_length(head):
            return
        self._buffer = b""
        self._transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        if self._timer:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(self._idle, self._transport.close)


def content_length(head: bytes) -> int:
    """Return the length of the body that a request's head announces."""
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return int(value)
    return 0


async def _serve(idle: float) -> None:
    server = await asyncio.get_running_loop().create_server(lambda: _Connection(idle), "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_serve(float(sys.argv[1])))
