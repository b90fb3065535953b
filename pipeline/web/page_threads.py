"""The threads in which views run."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

from starlette.concurrency import run_in_threadpool

from pipeline.web.page import Page

T = TypeVar("T")
# All pages that wait for engines leave enough of the forty threads of a server to others.
_MAX_OF_A_PAGE = 3


class PageThreads:
    """Runs views in threads, a few of each page at a time. Used in one event loop.

    Views that wait for an engine or a host that does not respond hold up no other page, and no login.
    """

    def __init__(self) -> None:
        self._turns: dict[str, asyncio.Semaphore] = {}

    async def run(self, page: Page, function: Callable[[], T]) -> T:
        """Call a function in a thread, and return its result."""
        async with self._turns.setdefault(page.name, asyncio.Semaphore(_MAX_OF_A_PAGE)):
            return await run_in_threadpool(function)
