"""A clock for tests. It moves only when a test moves it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from pipeline.base.clock import Stamp

_START = datetime(2030, 1, 1, 12, tzinfo=UTC)
# Setting an event does not wake the clock, and moving the clock does not set the event. So a waiter waits for the event
# and checks the clock this often, in real seconds.
_POLL_INTERVAL = 0.002


class FakeClock:
    """A clock that stands still until `advance`. Safe from any thread.

    With `auto_advance`, waiting moves it: `wait` passes its whole timeout immediately, unless the event is set or
    an action of `call_at` sets it earlier. That suits code that the test runs in its own thread. `waits` holds the
    timeout of each call of `wait`, in order.
    """

    def __init__(self, wall: datetime = _START, boot: str = "boot-1", *, auto_advance: bool = False) -> None:
        self._wall = wall
        self._boot = boot
        self._seconds = 100.0
        self._monotonic = 100.0
        self._auto_advance = auto_advance
        self._actions: list[tuple[float, Callable[[], None]]] = []
        self._waiting: dict[object, tuple[float, threading.Event]] = {}
        self._changed = threading.Condition(threading.RLock())
        self.waits: list[timedelta] = []

    def now(self) -> Stamp:
        """Return the present moment."""
        with self._changed:
            return Stamp(self._wall, self._boot, self._seconds)

    def since(self, stamp: Stamp) -> timedelta:
        """Return how long ago a stamp was taken."""
        return self.now().since(stamp)

    def monotonic(self) -> float:
        """Return seconds from an arbitrary start."""
        with self._changed:
            return self._monotonic

    def wait(self, event: threading.Event, timeout: timedelta) -> bool:
        """Wait until `event` is set or the clock has moved by `timeout`. Return whether it is set."""
        with self._changed:
            self.waits.append(timeout)
            due = self._monotonic + max(timeout.total_seconds(), 0.0)
        return self._pass_time(event, due) if self._auto_advance else self._wait_until(event, due)

    def advance(self, by: timedelta) -> None:
        """Move the clock. Waiters whose timeout has passed return, and actions that are due run, in order."""
        self._move_to(self.monotonic() + by.total_seconds())

    def advance_to_next_timeout(self, real_timeout: float = 60.0) -> timedelta:
        """Wait until a thread waits, and move the clock to the earliest timeout. Return the step."""
        self.wait_for_waiters(real_timeout=real_timeout)
        before = self.monotonic()
        with self._changed:
            due = min(self._timeouts(), default=before)
        self._move_to(due)
        return timedelta(seconds=due - before)

    def jump(self, by: timedelta) -> None:
        """Move the wall clock only, forward or back."""
        with self._changed:
            self._wall += by

    def reboot(self, boot: str, down: timedelta = timedelta(0)) -> None:
        """Simulate a reboot: boot time starts at 0 again, and the wall clock is `down` later."""
        with self._changed:
            self._boot = boot
            self._seconds = 0.0
            self._wall += down

    def call_at(self, after: timedelta, action: Callable[[], None]) -> None:
        """Call `action` once the clock has moved by `after`, in the thread that moves it."""
        with self._changed:
            self._actions.append((self._monotonic + after.total_seconds(), action))
            self._actions.sort(key=lambda entry: entry[0])

    def wait_for_waiters(self, count: int = 1, real_timeout: float = 60.0) -> None:
        """Wait until `count` threads wait for a later time. Raises `TimeoutError` after real seconds."""
        deadline = time.monotonic() + real_timeout
        with self._changed:
            while len(self._timeouts()) < count:
                if not self._changed.wait(deadline - time.monotonic()):
                    raise TimeoutError(f"fewer than {count} threads wait on the clock within {real_timeout:g} s")

    def _timeouts(self) -> list[float]:
        """Return when those that wait go on. One whose event is set does not wait, though it may not have run yet."""
        return [due for due, event in self._waiting.values() if due > self._monotonic and not event.is_set()]

    def _wait_until(self, event: threading.Event, due: float) -> bool:
        waiter = object()
        with self._changed:
            self._waiting[waiter] = due, event
            self._changed.notify_all()
        try:
            while not event.is_set() and self.monotonic() < due:
                event.wait(_POLL_INTERVAL)
            return event.is_set()
        finally:
            with self._changed:
                del self._waiting[waiter]

    def _pass_time(self, event: threading.Event, due: float) -> bool:
        while not event.is_set() and self.monotonic() < due:
            if (action := self._pass_to_next_action(due)) is not None:
                action()
        return event.is_set()

    def _move_to(self, due: float) -> None:
        while (action := self._pass_to_next_action(due)) is not None:
            # Without the lock, because an action may wait for a thread that reads the clock.
            action()

    def _pass_to_next_action(self, due: float) -> Callable[[], None] | None:
        """Move the clock to the first action that is due by `due` and return it, or to `due` without one."""
        with self._changed:
            action = None
            if self._actions and self._actions[0][0] <= due:
                due, action = self._actions.pop(0)
            step = max(due - self._monotonic, 0.0)
            self._monotonic += step
            self._seconds += step
            self._wall += timedelta(seconds=step)
            self._changed.notify_all()
            return action
