"""Limits on the number and the duration of connections.

uvicorn implements HTTP. A `Connection` sits between it and the network, and relies on two facts only: uvicorn's
protocol is an `asyncio.Protocol`, and the state of the application is in each request's `scope["state"]`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from email.utils import formatdate
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

_KEY = "connection"


@dataclass(frozen=True)
class ConnectionLimits:
    """The limits of one server.

    Above `max_connections` the oldest connection is aborted if `abort_oldest`, else the oldest one without a request,
    which may be the new one. A connection is aborted after `seconds`, which is called once per connection. With
    `until_request`, this ends at its first request.
    """

    max_connections: int
    seconds: Callable[[], float]
    abort_oldest: bool = False
    until_request: bool = False


def limited_config(app: Starlette, limits: ConnectionLimits, **options: Any) -> uvicorn.Config:
    """Return the configuration of a server with limits. `options` are passed to `uvicorn.Config`."""
    app.add_middleware(_Tracking)
    return uvicorn.Config(
        app,
        http=_connection_class(limits),
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        # `_Tracking` writes the header. uvicorn would update it ten times a second, also when idle.
        date_header=False,
        **options,
    )


class Connection(asyncio.Protocol):
    """A connection with limits, which passes everything on to the HTTP protocol."""

    def __init__(self, limits: ConnectionLimits, live: set[Connection], http: asyncio.Protocol) -> None:
        self._limits = limits
        self._live = live
        self._http = http
        self.opened = 0.0
        self.transport: asyncio.Transport
        self._timer: asyncio.TimerHandle
        self.has_requested = False
        self._ended = asyncio.Event()
        self._body: _Body | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Start the connection and its timer. Above the limit, abort a connection."""
        assert isinstance(transport, asyncio.Transport)
        loop = asyncio.get_running_loop()
        self.transport, self.opened = transport, loop.time()
        self._timer = loop.call_later(self._limits.seconds(), self._end_time)
        self._live.add(self)
        self._http.connection_made(transport)
        open_ones = [other for other in self._live if not other.transport.is_closing()]
        if len(open_ones) > self._limits.max_connections:
            self._oldest(open_ones).transport.abort()

    def data_received(self, data: bytes) -> None:
        """Pass on received bytes."""
        self._http.data_received(data)

    def eof_received(self) -> bool:
        """Record that the client sends nothing more. The connection stays open to answer an incomplete body."""
        self._ended.set()
        return self._body is not None and not self._body.is_whole

    def connection_lost(self, exc: Exception | None) -> None:
        """Remove the connection."""
        self._timer.cancel()
        self._live.discard(self)
        self._http.connection_lost(exc)

    def pause_writing(self) -> None:
        """Pass on that the client reads too slowly."""
        self._http.pause_writing()

    def resume_writing(self) -> None:
        """Pass on that the client has caught up."""
        self._http.resume_writing()

    @classmethod
    def of(cls, scope: Scope) -> Connection:
        """Return the connection of a request."""
        found: Connection = scope["state"][_KEY]
        return found

    @property
    def is_idle(self) -> bool:
        """True if the client has been sent everything, as far as this process knows."""
        return not self.transport.is_closing() and self.transport.get_write_buffer_size() == 0

    def write_body(self, data: bytes, *, chunked: bool) -> None:
        """Send a part of the body of the response in progress past uvicorn. Call it in the event loop.

        A body without a length is `chunked` in HTTP/1.1, and not in HTTP/1.0. This costs a tenth of a message through
        the interface of the application, which matters for a hundred open pages.
        """
        self.transport.write(b"%x\r\n%b\r\n" % (len(data), data) if chunked else data)

    def abort(self) -> None:
        """Close the connection at once, without what was not sent yet."""
        self.transport.abort()

    async def answer(self, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the application answer a request. It receives a disconnect if the body is shorter than announced."""
        self.has_requested = True
        self._body = body = _Body(scope, receive, self._ended)
        try:
            await app(scope, body.receive, send)
        finally:
            self._body = None

    def _oldest(self, open_ones: Iterable[Connection]) -> Connection:
        silent = [other for other in open_ones if not other.has_requested]
        return min(open_ones if self._limits.abort_oldest else silent, key=lambda other: other.opened)

    def _end_time(self) -> None:
        if not (self._limits.until_request and self.has_requested):
            self.transport.abort()


class _Body:
    """The body of a request. An incomplete body is reported as a disconnect."""

    def __init__(self, scope: Scope, receive: Receive, ended: asyncio.Event) -> None:
        self._receive = receive
        self._ended = ended
        self.is_whole = not any(name in (b"content-length", b"transfer-encoding") for name, _ in scope["headers"])

    async def receive(self) -> Message:
        if self.is_whole:
            return await self._receive()
        coming = asyncio.ensure_future(self._receive())
        ended = asyncio.ensure_future(self._ended.wait())
        try:
            await asyncio.wait((coming, ended), return_when=asyncio.FIRST_COMPLETED)
            # Bytes received before the end are available immediately.
            message: Message = coming.result() if coming.done() else {"type": "http.disconnect"}
        finally:
            coming.cancel()
            ended.cancel()
        self.is_whole = not message.get("more_body", False)
        return message


class _Tracking:
    """Middleware that routes each request through its connection and adds the Date header."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_dated(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).setdefault("date", formatdate(usegmt=True))
            await send(message)

        await Connection.of(scope).answer(self._app, scope, receive, send_dated)


def _connection_class(limits: ConnectionLimits) -> type[asyncio.Protocol]:
    live: set[Connection] = set()

    class Limited(Connection):
        def __init__(self, *, app_state: dict[str, Any], **options: Any) -> None:
            super().__init__(limits, live, H11Protocol(app_state={**app_state, _KEY: self}, **options))

    return Limited
