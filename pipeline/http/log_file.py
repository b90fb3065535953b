"""A log on disk as a response, from a byte offset on."""

from __future__ import annotations

import os
from pathlib import Path

from starlette.concurrency import run_in_threadpool
from starlette.responses import PlainTextResponse, Response

_MAX_BYTES = 2**20


async def log_response(path: Path, start: int) -> Response:
    """Return at most 1 MiB of a log of JSON lines. The header X-Next-Offset has the offset of what follows."""
    content = await run_in_threadpool(log_part, path, start)
    headers = {"X-Next-Offset": str(start + len(content))}
    return PlainTextResponse(content, headers=headers, media_type="application/jsonl")


def log_part(path: Path, start: int, limit: int = _MAX_BYTES) -> bytes:
    """Return `limit` bytes of a log at most, from the offset `start` on. Empty if there is no more."""
    try:
        with path.open("rb") as file:
            # A file system refuses offsets that are larger than its largest file.
            file.seek(min(start, os.fstat(file.fileno()).st_size))
            return file.read(limit)
    except FileNotFoundError:
        return b""


def log_size(path: Path) -> int:
    """Return the length of a log in bytes, 0 if there is none."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
