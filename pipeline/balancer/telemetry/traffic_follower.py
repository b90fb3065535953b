"""Follows the access log for the history of traffic, but only while it is asked for."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from pipeline.balancer.access import AccessLog
from pipeline.balancer.telemetry.traffic_history import TrafficChoice, TrafficHistory, TrafficStep
from pipeline.base.clock import Clock

MAX_SECONDS = 3600
# Of the log, at the first look. It takes about half a second.
MAX_BYTES = 16 * 2**20
# Seconds without a look after which the history is dropped.
_IDLE = 60.0


@dataclass(frozen=True)
class TrafficWindow:
    """The steps until `end`, oldest first.

    `since` is the time from which all requests are counted. `groups` had requests, also if they are not wanted.
    """

    since: datetime
    end: datetime
    steps: Sequence[TrafficStep]
    groups: Sequence[str]


class TrafficFollower:
    """The recent traffic of all target groups. Safe to use from any thread.

    The first look reads the log backwards, at most `MAX_BYTES`, and each later one what was written since. Without a
    look for a minute, nothing is kept.
    """

    def __init__(self, open_log: Callable[[], AccessLog], clock: Clock) -> None:
        self._open_log = open_log
        self._clock = clock
        self._lock = threading.Lock()
        self._followed: _FollowedLog | None = None
        self._last_look = 0.0

    def window(self, seconds: int, step: int, wanted: TrafficChoice) -> TrafficWindow:
        """Return the traffic of the last `seconds`, at most `MAX_SECONDS`, in steps of so many seconds.

        The second that has not ended is left out.
        """
        with self._lock:
            self._last_look = self._clock.monotonic()
            end = int(self._clock.now().wall.timestamp())
            first = end - min(seconds, MAX_SECONDS)
            if self._followed is None:
                self._expire_in(_IDLE)
            if self._followed is None or self._followed.seconds < end - first:
                self._followed = _FollowedLog(self._open_log(), end, end - first)
            self._followed.read(end)
            since, history = max(first, min(self._followed.since, end)), self._followed.history
            return TrafficWindow(
                datetime.fromtimestamp(since, UTC),
                datetime.fromtimestamp(end, UTC),
                [*history.steps(since, end, step, wanted)],
                history.groups(since, end),
            )

    @property
    def is_following(self) -> bool:
        """True while the history is kept."""
        return self._followed is not None

    def drop_if_idle(self) -> None:
        """Drop the history if the last look was a minute ago. Otherwise, try again then."""
        with self._lock:
            left = self._last_look + _IDLE - self._clock.monotonic()
            if left <= 0:
                self._followed = None
            else:
                self._expire_in(left)

    def _expire_in(self, seconds: float) -> None:
        timer = threading.Timer(seconds, self.drop_if_idle)
        timer.daemon = True
        timer.start()


class _FollowedLog:
    """A log that is read from `seconds` before `end` on, and its history."""

    def __init__(self, log: AccessLog, end: int, seconds: int) -> None:
        self.history = TrafficHistory()
        self.seconds = seconds
        self._log = log
        # The first second of which no request is missing. None until it is known.
        self._since: int | None = None
        if log.rewind(datetime.fromtimestamp(end - seconds, UTC), MAX_BYTES):
            self._since = end - seconds

    @property
    def since(self) -> int:
        """The first second of which no request is missing. Of an emptied log without requests, none is known."""
        return sys.maxsize if self._since is None else self._since

    def read(self, end: int) -> None:
        """Count what was written since the previous call, and forget what is too old."""
        oldest = self.history.add(self._log.forwarded(None))
        if self._since is None and oldest is not None:
            # Others that ended in this second may have been left out.
            self._since = oldest + 1
        self.history.keep(end - self.seconds, end)
