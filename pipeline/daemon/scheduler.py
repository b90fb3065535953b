"""The repeated work of the daemon's pipelines, by one thread that knows when what is due.

A loop is a function that does one step and returns the time until its next one. Two steps of a loop never run at the
same time. A step may wait or hang: the other loops continue, in further threads of the pool.
"""

from __future__ import annotations

import heapq
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from itertools import count
from typing import Self

import structlog

from pipeline.base.clock import Clock
from pipeline.daemon.worker_pool import WorkerPool

# Steps that wait for a thread wait this long, in seconds. Then the pool gets one more.
_GROWTH_DELAY = 0.05
# A step that raises is repeated after this time. Loops handle the errors that they expect.
_RETRY_INTERVAL = timedelta(seconds=1)
_logger = structlog.get_logger(__name__)

Step = Callable[[], timedelta | None]


class Loop:
    """Work that a scheduler repeats. `Scheduler.add` makes it. Safe to use from any thread."""

    def __init__(self, scheduler: Scheduler, name: str, step: Step) -> None:
        self.name = name
        self.step = step
        # The scheduler's lock guards what follows. `due` is None while a step runs or waits for a thread.
        self.due: float | None = None
        self.is_running = False
        self.is_woken = False
        self.is_stopped = False
        self._scheduler = scheduler

    def wake(self) -> None:
        """Do the next step now. If one runs, another one follows it at once. Wakes before that step count as one."""
        self._scheduler.wake(self)

    def stop(self) -> None:
        """Start no further step. Returns at once. Safe to repeat."""
        self._scheduler.stop(self)

    def join(self, timeout: float) -> bool:
        """Wait up to `timeout` seconds until the loop is stopped and no step runs. Return whether it is so."""
        return self._scheduler.join(self, timeout)


class Scheduler:
    """Executes the steps of loops when they are due. Use in a `with` block. Safe to use from any thread."""

    def __init__(self, clock: Clock, name: str = "worker") -> None:
        self._clock = clock
        self._pool = WorkerPool(name)
        self._changed = threading.Condition()
        self._woken = threading.Event()
        self._queue: list[tuple[float, int, Loop]] = []
        self._numbers = count()
        self._is_closed = False
        self._grown_at = 0.0
        self._thread = threading.Thread(target=self._run, name="scheduler", daemon=True)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def start(self) -> None:
        """Execute steps from now on."""
        self._thread.start()

    def close(self) -> None:
        """Start no further steps. Those that run are not waited for, so stop and join the loops first."""
        self._is_closed = True
        self._woken.set()
        self._pool.close()

    def add(self, name: str, step: Step, delay: timedelta = timedelta(0)) -> Loop:
        """Repeat a step, first after `delay`. Its result is the time until the next one, or None after the last one.

        An exception is logged, and the step is repeated after a second.
        """
        loop = Loop(self, name, step)
        with self._changed:
            self._schedule(loop, delay)
        return loop

    def wake(self, loop: Loop) -> None:
        """See `Loop.wake`."""
        with self._changed:
            if not loop.is_running:
                self._start(loop)
            else:
                loop.is_woken = True

    def stop(self, loop: Loop) -> None:
        """See `Loop.stop`."""
        with self._changed:
            loop.is_stopped, loop.due = True, None
            self._changed.notify_all()

    def join(self, loop: Loop, timeout: float) -> bool:
        """See `Loop.join`."""
        with self._changed:
            return self._changed.wait_for(lambda: loop.is_stopped and not loop.is_running, timeout)

    def _run(self) -> None:
        while not self._is_closed:
            with self._changed:
                wait = self._start_due()
            if self._pool.is_behind:
                self._woken.wait(_GROWTH_DELAY)
                self._grow()
            elif wait is None:
                self._woken.wait()
            else:
                self._clock.wait(self._woken, wait)
            self._woken.clear()

    def _grow(self) -> None:
        # Each loop that becomes due ends the wait. A burst of them must not start a thread for each.
        now = time.monotonic()
        if now - self._grown_at >= _GROWTH_DELAY:
            self._grown_at = now
            self._pool.grow()

    def _start_due(self) -> timedelta | None:
        """Start the loops that are due, and return the time until the next one is. None if there is none."""
        now = self._clock.monotonic()
        while self._queue:
            due, _, loop = self._queue[0]
            # A loop that was woken or stopped meanwhile has an entry that no longer counts.
            if loop.due == due and due > now:
                return timedelta(seconds=due - now)
            heapq.heappop(self._queue)
            if loop.due == due:
                self._start(loop)
        return None

    def _start(self, loop: Loop) -> None:
        if not loop.is_stopped:
            loop.is_running, loop.is_woken, loop.due = True, False, None
            self._pool.submit(lambda: self._execute(loop))
            if self._pool.is_behind:
                self._woken.set()

    def _execute(self, loop: Loop) -> None:
        delay: timedelta | None = None
        try:
            delay = self._step(loop) if not loop.is_stopped else None
        finally:
            with self._changed:
                loop.is_running = False
                if delay is None:
                    loop.is_stopped = True
                elif loop.is_woken:
                    self._start(loop)
                elif not loop.is_stopped:
                    self._schedule(loop, delay)
                self._changed.notify_all()

    def _step(self, loop: Loop) -> timedelta | None:
        try:
            return loop.step()
        except Exception:
            _logger.exception("internal error", loop=loop.name)
            return _RETRY_INTERVAL

    def _schedule(self, loop: Loop, delay: timedelta) -> None:
        loop.due = self._clock.monotonic() + max(delay.total_seconds(), 0.0)
        heapq.heappush(self._queue, (loop.due, next(self._numbers), loop))
        if self._queue[0][2] is loop:
            self._woken.set()
