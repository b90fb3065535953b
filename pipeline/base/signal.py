"""A signal that something has changed, for any number of listeners."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Listener = Callable[[], None]


class Signal:
    """Calls its listeners. Safe to use from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        # Replaced, never changed: `send` goes over those there were at its beginning.
        self._listeners: dict[object, Listener] = {}

    @contextmanager
    def subscribe(self, listener: Listener) -> Iterator[None]:
        """Call `listener` in the `with` block for each signal. It must return soon and raise nothing."""
        key = object()
        with self._lock:
            self._listeners = {**self._listeners, key: listener}
        try:
            yield
        finally:
            with self._lock:
                self._listeners = {other: each for other, each in self._listeners.items() if other is not key}

    def send(self) -> None:
        """Call all listeners."""
        for listener in self._listeners.values():
            listener()
