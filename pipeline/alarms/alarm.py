"""The interface of an alarm: one condition, and what was seen of it."""

from __future__ import annotations

from typing import Protocol

from pipeline.alarms.verdict import Verdict
from pipeline.alarms.window import ReleaseWindow


class Alarm(Protocol):
    """Collects windows. For one thread at a time. The same windows in the same order give the same verdict."""

    @property
    def compares(self) -> bool:
        """True if windows without requests of one release must be joined with the next ones."""

    def add(self, new: ReleaseWindow, previous: ReleaseWindow) -> None:
        """Take a window of both releases."""

    def verdict(self) -> Verdict:
        """Return the verdict on all windows so far."""
