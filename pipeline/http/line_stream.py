"""Streams of lines over HTTP, as server-sent events."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractContextManager

from pydantic import BaseModel
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response, StreamingResponse

from pipeline.base.errors import PenstockError
from pipeline.http.responses.body import ErrorResponse

Poll = Callable[[], Sequence[BaseModel] | None]
"""Returns the lines that have arrived, without waiting. None after the end."""

# In seconds. Between two reads, lines collect in the connections.
_READ_INTERVAL = 0.25
# Seconds without a line after which a comment is sent, so that proxies keep the connection open.
_HEARTBEAT = 15.0


def stream_lines(opened: AbstractContextManager[Poll]) -> Response:
    """Return a response that streams lines until their end. The context is entered for the time of the response.

    Each line is an event `line`. The last event is `end`, or `error` with what `ErrorResponse` describes.
    """
    headers = {"Cache-Control": "no-store"}
    return StreamingResponse(_events(opened), media_type="text/event-stream", headers=headers)


async def _events(opened: AbstractContextManager[Poll]) -> AsyncIterator[str]:
    silent = 0.0
    try:
        poll = await run_in_threadpool(opened.__enter__)
        try:
            while (lines := await run_in_threadpool(poll)) is not None:
                for line in lines:
                    yield f"event: line\ndata: {line.model_dump_json()}\n\n"
                silent = 0.0 if lines else silent + _READ_INTERVAL
                if silent >= _HEARTBEAT:
                    silent = 0.0
                    yield ": still here\n\n"
                await asyncio.sleep(_READ_INTERVAL)
        finally:
            # Closes sockets only, which takes no time.
            opened.__exit__(None, None, None)
        yield "event: end\ndata: {}\n\n"
    except PenstockError as error:
        # The response has begun, so its status cannot tell.
        content = ErrorResponse(error=error.message, hint=error.hint, exit_code=error.exit_code)
        yield f"event: error\ndata: {content.model_dump_json()}\n\n"
