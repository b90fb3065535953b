"""Time that passes only when the code under test waits."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from pipeline.base.clock import Stamp


class PassingTime:
    """A clock that `wait` moves on at once, and what is due on the way.

    Waiting for more than an hour altogether is an error: what the code waits for does not come.
    """

    def __init__(self) -> None:
        self._begin = datetime(2030, 1, 1, 12, tzinfo=UTC)
        self.passed = self.jumped = timedelta(0)
        self._due: list[tuple[timedelta, Callable[[], object]]] = []

    def now(self) -> datetime:
        """Return the present moment."""
        return self._begin + self.passed + self.jumped

    def jump(self, by: timedelta) -> None:
        """Set the wall clock, forward or back."""
        self.jumped += by

    def stamp(self) -> Stamp:
        """Return the present moment as a clock gives it."""
        return Stamp(self.now(), "boot-1", self.passed.total_seconds())

    def after(self, seconds: float, action: Callable[[], object]) -> None:
        """Call `action` when `seconds` have passed from now."""
        self._due.append((self.passed + timedelta(seconds=seconds), action))

    def wait(self, seconds: float) -> None:
        """Let time pass."""
        self.passed += timedelta(seconds=seconds)
        assert self.passed < timedelta(hours=1), "what is waited for does not come"
        due = [entry for entry in self._due if entry[0] <= self.passed]
        self._due = [entry for entry in self._due if entry not in due]
        for _, action in sorted(due, key=lambda entry: entry[0]):
            action()
