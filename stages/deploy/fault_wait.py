"""The wait for the end of a fault while a release bakes."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from typing import TypeVar

from pipeline.base.clock import Clock
from pipeline.base.errors import StoreFault, SystemFault
from pipeline.base.quantity import format_duration
from pipeline.event_kinds import EventKind
from pipeline.events import Events

_RETRY_INTERVAL = timedelta(seconds=1)

T = TypeVar("T")


class FaultWait:
    """Decides whether the bake of `name` outlasts a fault of Docker, the balancer or the store.

    While a release bakes, nothing has to be done. So a fault, such as a restart of `dockerd`, ends it only if it lasts
    for longer than `timeout`.
    """

    def __init__(self, name: str, timeout: timedelta, events: Events, clock: Clock) -> None:
        self._name = name
        self._timeout = timeout
        self._events = events
        self._clock = clock
        self._since: float | None = None

    def run(self, attempt: Callable[[], T], cancelled: threading.Event, is_baking: Callable[[], bool]) -> T:
        """Return what `attempt` returns. While the release bakes, a fault that may end by itself only repeats it."""
        while True:
            try:
                return attempt()
            except SystemFault as fault:
                if not is_baking() or not self._continues(fault):
                    raise
            self._clock.wait(cancelled, _RETRY_INTERVAL)

    def tolerate(self, look: Callable[[], object]) -> None:
        """Look once. Raises its fault only if that lasts."""
        try:
            look()
        except SystemFault as fault:
            if not self._continues(fault):
                raise
        else:
            self.is_over()

    def is_over(self) -> None:
        """Note that the release is watched. Call it after all that may fail."""
        self._since = None

    def _continues(self, fault: SystemFault) -> bool:
        """Return whether a fault may end by itself. Reports it when it begins."""
        now = self._clock.monotonic()
        if self._since is None:
            self._since = now
            text = f"{self._name} cannot be watched, trying again for {format_duration(self._timeout)}"
            # The fault may be a full disk, on which no event is stored.
            with suppress(StoreFault):
                self._events.emit(EventKind.DEPLOYMENT_WARNING, f"{text}: {fault.message}")
        return now - self._since <= self._timeout.total_seconds()
