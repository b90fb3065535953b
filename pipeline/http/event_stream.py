"""Streams of events over HTTP, as server-sent events."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from starlette.concurrency import run_in_threadpool
from starlette.responses import Response, StreamingResponse

from pipeline.base.clock import Clock
from pipeline.http.responses import EventResponse
from pipeline.store.event_follower import POLL_INTERVAL, EventFollower

# Seconds without an event after which a comment is sent, so that proxies keep the connection open.
_HEARTBEAT = 15.0


def stream_events(follower: EventFollower, clock: Clock) -> Response:
    """Return a response that streams the events of a follower, until the follower is over."""
    headers = {"Cache-Control": "no-store"}
    return StreamingResponse(_lines(follower, clock), media_type="text/event-stream", headers=headers)


async def _lines(follower: EventFollower, clock: Clock) -> AsyncIterator[str]:
    silent_since = clock.monotonic()
    while not follower.over:
        for number, event in await run_in_threadpool(follower.poll):
            silent_since = clock.monotonic()
            data = EventResponse.from_event(number, event).model_dump_json()
            yield f"id: {number}\nevent: {event.kind}\ndata: {data}\n\n"
        if clock.monotonic() - silent_since > _HEARTBEAT:
            silent_since = clock.monotonic()
            yield ": still here\n\n"
        if not follower.over:
            await asyncio.sleep(POLL_INTERVAL.total_seconds())
