"""An event that is found out by asking."""

from __future__ import annotations

import threading
import time

_POLL_SECONDS = 0.5


class PolledEvent(threading.Event):
    """An event that is set if `inner` is set, or for a reason that a subclass asks for in `is_set`.

    What waits for it wakes at once for the first, and soon for the second.
    """

    def __init__(self, inner: threading.Event) -> None:
        super().__init__()
        self._inner = inner

    def set(self) -> None:
        """Set the inner event."""
        self._inner.set()

    def is_set(self) -> bool:
        """Return whether it is set. Cheap enough to call all the time."""
        return self._inner.is_set()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until it is set, or for `timeout` seconds. Return whether it is set."""
        end = None if timeout is None else time.monotonic() + timeout
        while not self.is_set():
            left = _POLL_SECONDS if end is None else min(_POLL_SECONDS, end - time.monotonic())
            if left <= 0:
                return False
            self._inner.wait(left)
        return True
