"""The lock for changes of a pipeline's targets, which deployments and repairs share."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class DeployLock:
    """A preemptive lock: a deployment makes a repair that holds it stop. Safe to use from any thread."""

    def __init__(self, lock: threading.Lock | None = None) -> None:
        self._lock = lock or threading.Lock()
        self._deploying = threading.Event()
        self._counting = threading.Lock()
        self._deployments = 0

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
        """Hold the lock if it is free, and yield an event that is set when a deployment waits. Else yield None."""
        if not self._lock.acquire(blocking=False):
            yield None
            return
        try:
            yield None if self._deploying.is_set() else self._deploying
        finally:
            self._lock.release()

    def _count(self, change: int) -> None:
        # When the first of two deployments ends, no repair may run before the second.
        with self._counting:
            self._deployments += change
            if self._deployments:
                self._deploying.set()
            else:
                self._deploying.clear()
