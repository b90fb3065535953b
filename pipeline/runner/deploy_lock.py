"""Who may move a pipeline's targets: a deployment, or else whoever keeps in service what is deployed."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class DeployLock:
    """One at a time, and a deployment goes first: upkeep is asked to stop for it. Safe to use from any thread."""

    def __init__(self, lock: threading.Lock | None = None) -> None:
        self._lock = lock or threading.Lock()
        self._deploying = threading.Event()
        self._counting = threading.Lock()
        self._deployments = 0

    @contextmanager
    def for_deployment(self) -> Iterator[None]:
        """Wait for whoever has the turn, and keep it until this is left."""
        self._count(1)
        try:
            with self._lock:
                yield
        finally:
            self._count(-1)

    @contextmanager
    def try_for_repair(self) -> Iterator[threading.Event | None]:
        """What says that the turn has to be given up; None where it cannot be had now."""
        if not self._lock.acquire(blocking=False):
            yield None
            return
        try:
            yield None if self._deploying.is_set() else self._deploying
        finally:
            self._lock.release()

    def _count(self, change: int) -> None:
        # Of two deployments, the first to end must not let a repair go before the second.
        with self._counting:
            self._deployments += change
            if self._deployments:
                self._deploying.set()
            else:
                self._deploying.clear()
