"""The stream of changed parts of one open page, as server-sent events."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable

from starlette.responses import Response, StreamingResponse

from pipeline.web.feed import Feed, ViewKey

RELOAD = b"event: reload\ndata: \n\n"
"""Tells the page to load itself again: the daemon that serves it now has other scripts."""


def stream_view(feed: Feed, key: ViewKey, digest: str, is_allowed: Callable[[], Awaitable[bool]]) -> Response:
    """Return a stream of the parts that differ from those with the digest `digest`, and of those that change later.

    It ends when `is_allowed` is false, which it asks every few seconds.
    """
    return StreamingResponse(_messages(feed, key, digest, is_allowed), media_type="text/event-stream")


def reload_page() -> Response:
    """Return a stream that tells the page to load itself again."""
    return Response(RELOAD, media_type="text/event-stream")


async def _messages(
    feed: Feed, key: ViewKey, digest: str, is_allowed: Callable[[], Awaitable[bool]]
) -> AsyncIterator[bytes]:
    async with feed.watch(key) as view:
        seen = 0
        # The browser sees the response at once.
        yield b": open\n\n"
        while True:
            updated = view.updated
            if not seen and digest == view.digest:
                seen = view.version
            elif message := view.message(seen):
                seen = view.version
                yield message
            else:
                if not await is_allowed():
                    return
                yield b": still here\n\n"
            await updated.wait()
