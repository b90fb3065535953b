"""The latest names of all load balancers, read when a client asks and at most once a second."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import structlog

from pipeline.balancer.names.directory import Directory
from pipeline.base.errors import PenstockError

# Seconds between two reads.
_INTERVAL = 1.0
_logger = structlog.get_logger(__name__)


class Lookup:
    """Reads the names in a thread. For the tasks of one event loop.

    `read` may be slow and may raise `PenstockError`. A query waits for it for `patience` seconds. Then it uses the
    names that were read before.
    """

    def __init__(self, read: Callable[[], Directory], patience: float = 1.0) -> None:
        self._read = read
        self._patience = patience
        self._latest: Directory | None = None
        self._reading: asyncio.Task[None] | None = None
        self._read_at = float("-inf")
        self._reported = ""

    async def directory(self) -> Directory | None:
        """Return the names, or None if they have never been read."""
        loop = asyncio.get_running_loop()
        if self._reading is None and loop.time() - self._read_at >= _INTERVAL:
            self._reading = loop.create_task(self._refresh())
        if self._reading is not None:
            await asyncio.wait({self._reading}, timeout=self._patience)
        return self._latest

    async def _refresh(self) -> None:
        loop = asyncio.get_running_loop()
        started = loop.time()
        try:
            self._latest = await asyncio.to_thread(self._read)
            self._reported = ""
        except (PenstockError, OSError) as error:
            if str(error) != self._reported:
                _logger.warning("cannot read the names of load balancers", error=str(error))
            self._reported = str(error)
        finally:
            self._read_at, self._reading = started, None
