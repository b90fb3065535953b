"""The engine's events while the daemon runs: connected again when they are lost, and not trusted while they may be.

What holds:

- A change of a replica is reported at once, while `is_live`.
- `is_live` turns true a second after a connection, together with a report that anything may have changed. So nothing is
  missed that happened before the engine sends events on that connection.
- If the connection is lost, that report comes at once, and `is_live` is false until the next connection.
- An engine that hangs sends nothing, as an idle one does. It is pinged every half minute, and has ten seconds for the
  response.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta

from pipeline.base.backoff import Backoff
from pipeline.base.clock import Clock
from pipeline.base.errors import PenstockError
from pipeline.engine.interfaces import EngineEvents, ReplicaChange

_BACKOFF = Backoff(timedelta(seconds=0.5), timedelta(seconds=5))
_SETTLE_TIME = timedelta(seconds=1)
_PING_INTERVAL = timedelta(seconds=30)


class EngineWatch:
    """Passes on the changes of replicas. `changed` gets each one, or None if any replica may have changed.

    `changed` must return soon. It is called by the thread of `run_forever` and that of `check`.
    """

    def __init__(self, events: EngineEvents, changed: Callable[[ReplicaChange | None], None], clock: Clock) -> None:
        self._events = events
        self._changed = changed
        self._clock = clock
        self._stopping = threading.Event()
        self._connected_at: float | None = None
        self._is_live = False

    @property
    def is_live(self) -> bool:
        """True if every change leads to a call of `changed`. Safe to call from any thread."""
        return self._is_live

    def run_forever(self) -> None:
        """Follow the events until `stop`."""
        backoff = _BACKOFF
        while not self._stopping.is_set():
            backoff = backoff.after(succeeded=self._follow())
            self._clock.wait(self._stopping, backoff.delay())

    def check(self) -> timedelta:
        """Check the connection, and return the time until the next call."""
        connected_at = self._connected_at
        if connected_at is None:
            return _SETTLE_TIME
        age = timedelta(seconds=self._clock.monotonic() - connected_at)
        if age < _SETTLE_TIME:
            return _SETTLE_TIME - age
        if not self._is_live:
            self._is_live = True
            # Lost in the meantime: it must not stay live.
            if self._connected_at is not connected_at:
                self._is_live = False
            self._changed(None)
        elif not self._events.answers():
            self._is_live = False
            self._events.interrupt()
        return _PING_INTERVAL

    def stop(self) -> None:
        """Request the end of `run_forever`. Returns at once."""
        self._stopping.set()
        self._events.interrupt()

    def _follow(self) -> bool:
        """Pass on events until the connection is lost. Return whether there was one."""
        was_connected = False
        try:
            for change in self._events.follow():
                if self._stopping.is_set():
                    break
                if change is None:
                    was_connected, self._connected_at = True, self._clock.monotonic()
                self._changed(change)
        except PenstockError:
            # The checks of the pipelines report an engine that is away.
            pass
        finally:
            self._connected_at, self._is_live = None, False
            if was_connected:
                self._changed(None)
        return was_connected
