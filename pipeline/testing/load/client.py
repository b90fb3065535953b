"""A small HTTP/1.1 client that never retries and reports each failure exactly."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass


class RequestFailed(Exception):
    """A request without a complete response."""


@dataclass(frozen=True)
class Response:
    """A response. `reusable` is True if the connection may be used again."""

    status: int
    body: bytes
    version: str
    reusable: bool


class Connection(asyncio.Protocol):
    """One connection, with one request at a time. `closed` is True once the server has closed it."""

    def __init__(self) -> None:
        self.closed = False
        self._transport: asyncio.Transport | None = None
        self._buffer = b""
        self._response: asyncio.Future[Response] | None = None

    @classmethod
    async def open(cls, host: str, port: int) -> Connection:
        """Connect. Raises `RequestFailed`."""
        try:
            _, connection = await asyncio.get_running_loop().create_connection(cls, host, port)
        except OSError as error:
            raise RequestFailed(f"connect: {error.strerror or error}") from error
        return connection

    async def ask(self, request: bytes) -> Response:
        """Send a request and return the response. Raises `RequestFailed`."""
        if self._transport is None or self.closed:
            raise RequestFailed("the connection was closed before the request was sent")
        self._response = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return await self._response

    def close(self) -> None:
        """Abort the connection."""
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, end, rest = self._buffer.partition(b"\r\n\r\n")
        if not end or self._response is None or self._response.done():
            return
        lines = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
        length = int(headers.get("content-length", 0))
        if len(rest) < length:
            return
        reusable = headers.get("connection", "").lower() != "close" and len(rest) == length
        self._buffer = b""
        status = int(lines[0].split()[1])
        self._response.set_result(Response(status, rest[:length], headers.get("x-app-version", ""), reusable))

    def eof_received(self) -> bool:
        self.closed = True
        return False

    def connection_lost(self, error: Exception | None) -> None:
        self.closed = True
        if self._response is not None and not self._response.done():
            part = "in the middle of a response" if self._buffer else "without a response"
            self._response.set_exception(
                RequestFailed(f"the connection was closed {part}{f': {error}' if error else ''}")
            )
