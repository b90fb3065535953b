"""A thread that makes a data plane follow the registry soon, once for several changes."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from pipeline.base.errors import PenstockError

# Bounds, in seconds: of the time without a further request after which it follows, and of the delay of the first one.
# Within them, these are shares of the time that the last call took. A change that comes during a call waits for it, so
# calls must be rare on a busy machine too.
_QUIET, _LONGEST = (0.05, 0.3), (0.25, 1.0)
_QUIET_SHARE, _LONGEST_SHARE = 1, 4
_logger = logging.getLogger(__name__)


class Follower:
    """Calls `follow` soon after each request, in a thread of its own. Requests in quick succession share a call.

    Safe to use from any thread. If `follow` fails, the error is logged: the next reconciliation repeats its work.
    """

    def __init__(self, follow: Callable[[], object]) -> None:
        self._follow = follow
        self._lock = threading.Lock()
        self._requested: list[float] = []
        self._thread: threading.Thread | None = None
        self._duration = 0.0

    def request(self) -> None:
        """Request a call. Returns at once."""
        with self._lock:
            self._requested.append(time.monotonic())
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="balancer-follower", daemon=True)
                self._thread.start()

    def _run(self) -> None:
        while self._wait_until_due():
            started = time.monotonic()
            try:
                self._follow()
            except (PenstockError, OSError) as error:
                _logger.warning("the data plane does not follow yet: %s", error)
            self._duration = time.monotonic() - started

    def _wait_until_due(self) -> bool:
        """Wait until a call is due. Return False if none is requested; the thread then ends."""
        while True:
            with self._lock:
                if not self._requested:
                    self._thread = None
                    return False
                quiet = _within(_QUIET, _QUIET_SHARE * self._duration)
                longest = _within(_LONGEST, _LONGEST_SHARE * self._duration)
                due = min(self._requested[-1] + quiet, self._requested[0] + longest)
                pause = due - time.monotonic()
                if pause <= 0:
                    self._requested.clear()
                    return True
            time.sleep(pause)


def _within(bounds: tuple[float, float], value: float) -> float:
    least, most = bounds
    return min(most, max(least, value))
