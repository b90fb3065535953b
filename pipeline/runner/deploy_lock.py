"""Who may move a pipeline's targets: a deployment, or else whoever keeps in service what is deployed."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class DeployLock:
    """One at a time, and a deployment goes first: upkeep is asked to stop for it. Safe to use from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._deploying = threading.Event()

    @contextmanager
    def for_deployment(self) -> Iterator[None]:
        """Wait for whoever has the turn, and keep it until this is left."""
        self._deploying.set()
        try:
            with self._lock:
                yield
        finally:
            self._deploying.clear()

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
