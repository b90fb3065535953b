"""The clock of everything that waits or measures."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from threading import TIMEOUT_MAX, Event
from typing import Protocol

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True)
class Stamp:
    """A point in time that a later process can measure from.

    `wall` is the wall time in UTC. `seconds` is CLOCK_BOOTTIME within the kernel's boot `boot`. `boot` is empty if only
    the wall time is known.
    """

    wall: datetime
    boot: str
    seconds: float

    @classmethod
    def from_wall(cls, wall: datetime) -> Stamp:
        """Return a stamp that has only a wall time."""
        return cls(wall, "", 0.0)

    @classmethod
    def from_text(cls, text: str) -> Stamp:
        """Read what `str` returned. Raises `ValueError` for any other text."""
        wall, seconds, boot = text.split(" ")
        return cls(datetime.fromisoformat(wall), boot, float(seconds))

    def __str__(self) -> str:
        return f"{self.wall.isoformat()} {self.seconds!r} {self.boot}"

    def since(self, earlier: Stamp) -> timedelta:
        """Return the time from an earlier stamp to this one.

        Uses boot time if both stamps are of one boot, so changes of the wall clock have no effect. Uses wall time
        otherwise. Never negative.
        """
        if self.boot and self.boot == earlier.boot:
            passed = timedelta(seconds=self.seconds - earlier.seconds)
        else:
            passed = self.wall - earlier.wall
        return max(passed, timedelta(0))

    def later(self, by: timedelta) -> Stamp:
        """Return the point in time that is later by this much."""
        return Stamp(self.wall + by, self.boot, self.seconds + by.total_seconds() if self.boot else 0.0)


class Clock(Protocol):
    """Source of time for everything that waits or measures. Safe from any thread.

    A fake clock moves only when its test advances it.
    """

    def now(self) -> Stamp:
        """Return the current time."""

    def since(self, stamp: Stamp) -> timedelta:
        """Return how long ago a stamp was taken: by boot time within one boot, else by wall time. Never negative."""

    def monotonic(self) -> float:
        """Return seconds from an arbitrary start, for deadlines within this process."""

    def wait(self, event: Event, timeout: timedelta) -> bool:
        """Wait until `event` is set or `timeout` has passed. Return whether it is set. The only way to sleep."""


class SystemClock:
    """The clock of the machine. Its boot time includes time in suspend."""

    def now(self) -> Stamp:
        """Return the current time."""
        return Stamp(datetime.now(UTC), _boot_id(), time.clock_gettime(time.CLOCK_BOOTTIME))

    def since(self, stamp: Stamp) -> timedelta:
        """Return how long ago a stamp was taken."""
        return self.now().since(stamp)

    def monotonic(self) -> float:
        """Return seconds from an arbitrary start."""
        return time.monotonic()

    def wait(self, event: Event, timeout: timedelta) -> bool:
        """Wait until `event` is set or `timeout` has passed."""
        return event.wait(min(max(timeout.total_seconds(), 0.0), TIMEOUT_MAX))


SYSTEM = SystemClock()
"""The clock for code that is not given one."""


def until_next(clock: Clock, interval: timedelta) -> timedelta:
    """Return the time until the clock is at the next multiple of an interval. At most the interval.

    Threads that wait for it wake together. In an idle process that takes less time than if each wakes by itself: the
    second one finds the interpreter in the processor's caches.
    """
    return interval - timedelta(seconds=clock.monotonic() % interval.total_seconds())


@cache
def _boot_id() -> str:
    # Without a boot id, stamps fall back to wall time, as stamps of different boots do.
    try:
        return _BOOT_ID.read_text().strip()
    except OSError:
        return ""
