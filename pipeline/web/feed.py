"""Renders the views that somebody watches, each once for all watchers, and tells them of changes.

What holds:

- A view is rendered when the store has changed, a replica or a target has, and at least at its interval. Two renderings
  are a tenth of a second apart.
- Open pages take about a fiftieth of a core on average, however many there are and whatever a view costs: see
  `CpuBudget`. After some quiet seconds there is enough left to show a change at once.
- Nothing is rendered while nobody watches.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import partial

import structlog
from markupsafe import Markup

from pipeline.base.clock import Clock
from pipeline.web.budget import CpuBudget
from pipeline.web.page import Page, Parts
from pipeline.web.page_threads import PageThreads
from pipeline.web.watched_view import WatchedView, Watcher

Source = Callable[[Callable[[], None]], AbstractContextManager[None]]
"""Calls its argument, from any thread, when something has changed, as long as it is entered."""

_MIN_PAUSE = 0.1
# In seconds. Of the time between two renderings of a view that nothing has woken, it takes a fiftieth at most.
_MAX_INTERVAL = 5.0
_INTERVAL_PER_COST = 50
_MAX_DELAY = 2.0
# Seconds of processor time: see `CpuBudget`. What is rendered without a change leaves a reserve for the next change.
_SHARE, _BURST, _RESERVE = 0.02, 0.2, 0.1
_logger = structlog.get_logger(__name__)


@dataclass(frozen=True)
class ViewKey:
    """What a view is rendered for. `arguments` are pairs in a fixed order."""

    page: Page
    arguments: tuple[tuple[str, str], ...]
    can_operate: bool

    @classmethod
    def of(cls, page: Page, arguments: Mapping[str, str], *, can_operate: bool) -> ViewKey:
        """Return the key for the arguments of a request."""
        return cls(page, tuple(sorted(arguments.items())), can_operate)


class Feed:
    """The watched views of one server. Used in one event loop.

    `render` returns all parts of a view. It is called in threads and raises nothing that it can put into a part.
    `changed` is called first for each change, in any thread. `threads` are shared with first renderings.
    """

    def __init__(
        self,
        render: Callable[[ViewKey], Parts],
        sources: Sequence[Source],
        clock: Clock,
        changed: Callable[[], None] = lambda: None,
        threads: PageThreads | None = None,
    ) -> None:
        self._render = render
        self._threads = threads or PageThreads()
        self._changed = changed
        self._sources = sources
        self._clock = clock
        self._budget = CpuBudget(clock, _SHARE, _BURST)
        self._views: dict[ViewKey, tuple[WatchedView, asyncio.Event, asyncio.Task[None]]] = {}
        self._subscriptions = ExitStack()
        self._loop_time = 0.0

    @contextmanager
    def watch(self, key: ViewKey, watcher: Watcher, digest: str) -> Iterator[None]:
        """Send the changes of a view to an open page in the `with` block. `digest` is that of the parts it shows."""
        view = self._watched(key)
        view.add(watcher, digest)
        try:
            yield
        finally:
            del view.watchers[watcher]
            if not view.watchers:
                self._forget(key)

    def wake(self) -> None:
        """Render all watched views soon."""
        for _, woken, _ in self._views.values():
            woken.set()

    def _watched(self, key: ViewKey) -> WatchedView:
        if not self._views:
            self._subscribe()
        if key not in self._views:
            view, woken = WatchedView(), asyncio.Event()
            task = asyncio.get_running_loop().create_task(self._keep_rendered(key, view, woken))
            self._views[key] = view, woken, task
        return self._views[key][0]

    def _forget(self, key: ViewKey) -> None:
        _, _, task = self._views.pop(key)
        task.cancel()
        if not self._views:
            self._subscriptions.close()

    def _subscribe(self) -> None:
        loop = asyncio.get_running_loop()

        def changed() -> None:
            self._changed()
            # The loop is closed if the daemon stops before the last page is closed.
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(self.wake)

        for source in self._sources:
            self._subscriptions.enter_context(source(changed))

    async def _keep_rendered(self, key: ViewKey, view: WatchedView, woken: asyncio.Event) -> None:
        while True:
            woken.clear()
            parts, cost = await self._threads.run(key.page, partial(self._timed_render, key))
            if parts is not None:
                view.update(parts)
            self._budget.spend(cost + self._spent_in_loop())
            await asyncio.sleep(_MIN_PAUSE)
            await self._wait(woken, _interval(key.page.interval, cost))

    async def _wait(self, woken: asyncio.Event, interval: float) -> None:
        """Wait for a change, or else for `interval` seconds, or longer while only the reserve for changes is left."""
        loop = asyncio.get_running_loop()
        end, left = loop.time() + max(interval, _MAX_INTERVAL), interval
        while left > 0 and not woken.is_set():
            with suppress(TimeoutError):
                await asyncio.wait_for(woken.wait(), left)
            self._budget.spend(self._spent_in_loop())
            left = min(self._budget.delay(_RESERVE), end - loop.time())
        await asyncio.sleep(min(self._budget.delay(), _MAX_DELAY))

    def _timed_render(self, key: ViewKey) -> tuple[Mapping[str, Markup] | None, float]:
        started = time.thread_time()
        try:
            parts = self._render(key)
        except Exception:  # a page that is open must outlast a fault of its view
            _logger.exception("a view failed", page=key.page.name)
            parts = None
        return parts, time.thread_time() - started

    def _spent_in_loop(self) -> float:
        """Return the processor time of the event loop since the last call. Most of it is for messages to watchers."""
        before, self._loop_time = self._loop_time, time.thread_time()
        return self._loop_time - before if before else 0.0


def _interval(wanted: float, cost: float) -> float:
    """Return the seconds until a view is rendered again that nothing wakes."""
    return max(wanted, min(_MAX_INTERVAL, cost * _INTERVAL_PER_COST))
