"""The lock for changes of a pipeline's targets, which deployments and repairs share."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class DeployLock:
    """A preemptive lock: a deployment makes a repair that holds it stop. Safe to use from any thread."""

    def __init__(self, lock: threading.Lock | None = None) -> None:
        self._lock = lock or threading.Lock()
        self._counting = threading.Lock()
        self._deployments = 0
        self._repair: threading.Event | None = None

    @contextmanager
    def for_deployment(self) -> Iterator[None]:
        """Hold the lock. Signals the repair that has it, and waits until it is released."""
        self._count(1)
        try:
            with self._lock:
                yield
        finally:
            self._count(-1)

    @contextmanager
    def try_for_repair(self) -> Iterator[threading.Event | None]:
        """Hold the lock if it is free, and yield an event that is set when the repair has to stop. Else yield None.

        It has to when a deployment waits, and after `preempt_repair`.
        """
        if not self._lock.acquire(blocking=False):
            yield None
            return
        try:
            with self._counting:
                self._repair = None if self._deployments else threading.Event()
            yield self._repair
        finally:
            with self._counting:
                self._repair = None
            self._lock.release()

    def preempt_repair(self) -> None:
        """Make the repair that holds the lock stop, because it works towards something that has changed."""
        with self._counting:
            self._stop_repair()

    @contextmanager
    def between_deployments(self) -> Iterator[bool]:
        """Yield whether no deployment holds the lock or waits for it. None begins within the block. A repair may run.

        The block must be short.
        """
        with self._counting:
            yield not self._deployments

    def _count(self, change: int) -> None:
        # When the first of two deployments ends, no repair may run before the second.
        with self._counting:
            self._deployments += change
            if self._deployments:
                self._stop_repair()

    def _stop_repair(self) -> None:
        if self._repair is not None:
            self._repair.set()
