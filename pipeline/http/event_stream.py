"""Streams of events over HTTP, as server-sent events."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

from starlette.concurrency import run_in_threadpool
from starlette.responses import Response, StreamingResponse

from pipeline.base.clock import Clock
from pipeline.http.responses.event import EventResponse
from pipeline.store.changes import StoreChanges
from pipeline.store.event_follower import EventFollower

# Seconds without an event after which a comment is sent, so that proxies keep the connection open.
_HEARTBEAT = 15.0


def stream_events(follower: EventFollower, changes: StoreChanges, clock: Clock) -> Response:
    """Return a response that streams the events of a follower, until the follower is over.

    The follower is asked after each change of the database only.
    """
    headers = {"Cache-Control": "no-store"}
    return StreamingResponse(_lines(follower, changes, clock), media_type="text/event-stream", headers=headers)


async def _lines(follower: EventFollower, changes: StoreChanges, clock: Clock) -> AsyncIterator[str]:
    silent_since, changed, loop = clock.monotonic(), asyncio.Event(), asyncio.get_running_loop()

    def wake() -> None:
        # The loop is closed if the daemon stops before the stream has ended.
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(changed.set)

    with changes.subscribe(wake):
        while not follower.over:
            # Before the poll, so that a change in between leads to another one.
            changed.clear()
            for number, event in await run_in_threadpool(follower.poll):
                silent_since = clock.monotonic()
                data = EventResponse.from_event(number, event).model_dump_json()
                yield f"id: {number}\nevent: {event.kind}\ndata: {data}\n\n"
            left = silent_since + _HEARTBEAT - clock.monotonic()
            if left <= 0:
                silent_since, left = clock.monotonic(), _HEARTBEAT
                yield ": still here\n\n"
            if not (follower.over or follower.is_behind):
                with suppress(TimeoutError):
                    await asyncio.wait_for(changed.wait(), min(left, follower.max_wait.total_seconds()))
