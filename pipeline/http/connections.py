"""Connections with limits: how many there are at once, and how long each may take.

uvicorn speaks HTTP. What is here stands between it and the network, and knows nothing of it but that it is an
`asyncio.Protocol`, and that what it is given as the state of an application stands in each request's `scope["state"]`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
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
    """What the connections of a server may take.

    Of more than `most` connections the oldest is aborted where it `gives_way`, else the new one. `seconds` is asked at
    each connection: it is aborted after that time, or only while it has sent no request where `until_request` is set.
    """

    most: int
    seconds: Callable[[], float]
    gives_way: bool = False
    until_request: bool = False


def limited_config(app: Starlette, limits: ConnectionLimits, **options: Any) -> uvicorn.Config:
    """Return how to serve an application within limits. `options` are further ones of `uvicorn.Config`."""
    app.add_middleware(_Tracking)
    return uvicorn.Config(
        app,
        http=_connection_class(limits),
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        # `_Tracking` writes it. uvicorn's own is renewed by a timer, ten times a second.
        date_header=False,
        **options,
    )


class Connection(asyncio.Protocol):
    """A connection to a client, which hands all that comes on to the one that speaks HTTP."""

    def __init__(self, limits: ConnectionLimits, live: set[Connection], http: asyncio.Protocol) -> None:
        self._limits = limits
        self._live = live
        self._http = http
        self.opened = 0.0
        self.transport: asyncio.Transport
        self._timer: asyncio.TimerHandle
        self._has_asked = False
        self._ended = asyncio.Event()
        self._body: _Body | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin, unless there are too many."""
        assert isinstance(transport, asyncio.Transport)
        loop = asyncio.get_running_loop()
        self.transport, self.opened = transport, loop.time()
        self._timer = loop.call_later(self._limits.seconds(), self._end_time)
        self._live.add(self)
        self._http.connection_made(transport)
        open_ones = [other for other in self._live if not other.transport.is_closing()]
        if len(open_ones) > self._limits.most:
            victim = min(open_ones, key=lambda other: other.opened) if self._limits.gives_way else self
            victim.transport.abort()

    def data_received(self, data: bytes) -> None:
        """Hand on what a client sends."""
        self._http.data_received(data)

    def eof_received(self) -> bool:
        """Note that a client sends nothing more. The connection stays for the answer to a body that was cut short."""
        self._ended.set()
        return self._body is not None and not self._body.is_whole

    def connection_lost(self, exc: Exception | None) -> None:
        """End."""
        self._timer.cancel()
        self._live.discard(self)
        self._http.connection_lost(exc)

    def pause_writing(self) -> None:
        """Hand on that a client reads too slowly."""
        self._http.pause_writing()

    def resume_writing(self) -> None:
        """Hand on that a client has read."""
        self._http.resume_writing()

    async def answer(self, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        """Have the application answer a request of this connection. It learns when a body ends before its length."""
        self._has_asked = True
        self._body = body = _Body(scope, receive, self._ended)
        try:
            await app(scope, body.receive, send)
        finally:
            self._body = None

    def _end_time(self) -> None:
        if not (self._limits.until_request and self._has_asked):
            self.transport.abort()


class _Body:
    """The body of a request. What the client cut short ends as when the client has gone."""

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
            # What came before the end is there at once.
            message: Message = coming.result() if coming.done() else {"type": "http.disconnect"}
        finally:
            coming.cancel()
            ended.cancel()
        self.is_whole = not message.get("more_body", False)
        return message


class _Tracking:
    """Middleware that tells each connection of its requests, and dates the answers."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_dated(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).setdefault("date", formatdate(usegmt=True))
            await send(message)

        connection: Connection = scope["state"][_KEY]
        await connection.answer(self._app, scope, receive, send_dated)


def _connection_class(limits: ConnectionLimits) -> type[asyncio.Protocol]:
    live: set[Connection] = set()

    class Limited(Connection):
        def __init__(self, *, app_state: dict[str, Any], **options: Any) -> None:
            super().__init__(limits, live, H11Protocol(app_state={**app_state, _KEY: self}, **options))

    return Limited
