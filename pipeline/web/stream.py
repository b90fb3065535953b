"""The stream of changed parts of one open page, as server-sent events."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from pipeline.http.connections import Connection
from pipeline.web.feed import Feed, ViewKey

HEARTBEAT = 15.0
"""Seconds after which a comment is sent, so that proxies keep the connection, and the session is checked."""
# So often in a row, a page may not have read what was sent. A program that never reads would keep its view alive.
_MAX_BUSY = 4
_OPEN = b": open\n\n"
_HERE = b": still here\n\n"
_RELOAD = b"event: reload\ndata: \n\n"


def reload_page() -> Response:
    """Return a stream that tells the page to load itself again: this daemon has other scripts than it."""
    return Response(_RELOAD, media_type="text/event-stream")


class ViewStream(Response):
    """A stream of the parts that differ from those with the digest `digest`, and of those that change later.

    It ends some seconds after `is_allowed` has become false, and after about a minute in which the page reads nothing.
    """

    media_type = "text/event-stream"

    def __init__(self, feed: Feed, key: ViewKey, digest: str, is_allowed: Callable[[], Awaitable[bool]]) -> None:
        super().__init__()
        # Without a length, the body is chunked.
        del self.headers["content-length"]
        self._feed = feed
        self._key = key
        self._digest = digest
        self._is_allowed = is_allowed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the stream until the page is closed."""
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        if scope["method"] == "HEAD":
            await send({"type": "http.response.body", "body": b"", "more_body": False})
            return
        # The browser sees the response at once.
        await send({"type": "http.response.body", "body": _OPEN, "more_body": True})
        page = _OpenPage(Connection.of(scope), chunked=scope["http_version"] != "1.0")
        with self._feed.watch(self._key, page, self._digest):
            await self._wait_for_end(receive, page)
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _wait_for_end(self, receive: Receive, page: _OpenPage) -> None:
        gone, busy = asyncio.ensure_future(_disconnected(receive)), 0
        try:
            while not (await asyncio.wait((gone,), timeout=HEARTBEAT))[0]:
                if not await self._is_allowed():
                    return
                busy = 0 if page.is_idle else busy + 1
                if busy >= _MAX_BUSY:
                    page.abort()
                    return
                if page.is_idle:
                    page.send(_HERE)
        finally:
            gone.cancel()


class _OpenPage:
    """The page at the other end of a connection."""

    def __init__(self, connection: Connection, *, chunked: bool) -> None:
        self.seen = 0
        self._connection = connection
        self._chunked = chunked

    @property
    def is_idle(self) -> bool:
        return self._connection.is_idle

    def abort(self) -> None:
        self._connection.abort()

    def send(self, event: bytes) -> None:
        self._connection.write_body(event, chunked=self._chunked)


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
