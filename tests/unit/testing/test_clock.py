"""A fake clock moves only when a test moves it."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest

from pipeline.testing.fakes.clock import FakeClock
from tests.support.waiting import DEADLINE

SECOND = timedelta(seconds=1)


def waiting(clock: FakeClock, timeout: timedelta, over: list[timedelta]) -> threading.Thread:
    """Start a thread that waits on the clock, and records when it returned."""
    thread = threading.Thread(target=lambda: (clock.wait(threading.Event(), timeout), over.append(timeout)))
    thread.start()
    return thread


def test_it_stands_still() -> None:
    """Two reads of the clock return the same moment."""
    clock = FakeClock()
    assert clock.now() == clock.now()
    assert clock.monotonic() == clock.monotonic()


def test_moving_it_wakes_the_due_waiters() -> None:
    """Moving the clock wakes the waiters that are due, and no others."""
    clock, over = FakeClock(), list[timedelta]()
    first, second = waiting(clock, SECOND, over), waiting(clock, 3 * SECOND, over)
    clock.wait_for_waiters(2)
    clock.advance(2 * SECOND)
    first.join(DEADLINE)
    assert over == [SECOND]
    clock.advance(SECOND)
    second.join(DEADLINE)
    assert over == [SECOND, 3 * SECOND]


def test_the_next_timeout_is_the_earliest() -> None:
    """The next timeout is the earliest of those that have not passed."""
    clock, over = FakeClock(), list[timedelta]()
    threads = [waiting(clock, timeout, over) for timeout in (5 * SECOND, 2 * SECOND)]
    clock.wait_for_waiters(2)
    assert clock.advance_to_next_timeout() == 2 * SECOND
    assert clock.advance_to_next_timeout() == 3 * SECOND
    for thread in threads:
        thread.join(DEADLINE)


def test_a_missing_waiter_is_an_error() -> None:
    """Waiting for a waiter that does not come raises an error."""
    with pytest.raises(TimeoutError, match="fewer than 1 threads"):
        FakeClock().wait_for_waiters(real_timeout=0.01)


def test_the_wall_clock_may_jump() -> None:
    """The wall clock may jump forward and back, and durations by boot time do not change."""
    clock = FakeClock()
    before = clock.now()
    clock.jump(timedelta(days=-1))
    clock.advance(SECOND)
    assert clock.now().wall == before.wall - timedelta(days=1) + SECOND
    assert clock.since(before) == SECOND


def test_another_boot() -> None:
    """After a reboot boot time starts at 0, so earlier stamps are compared by the wall clock."""
    clock = FakeClock()
    before = clock.now()
    clock.reboot("boot-2", down=60 * SECOND)
    clock.advance(SECOND)
    assert clock.now().boot == "boot-2"
    assert clock.now().seconds == 1.0
    assert clock.since(before) == 61 * SECOND


def test_actions_come_in_order_and_in_time() -> None:
    """Each action runs at its own moment, in order."""
    clock, seen = FakeClock(), list[tuple[str, timedelta]]()
    start = clock.now()
    for name, after in (("second", 2 * SECOND), ("first", SECOND), ("never", 9 * SECOND)):
        clock.call_at(after, lambda name=name: seen.append((name, clock.since(start))))  # type: ignore[misc]
    clock.advance(5 * SECOND)
    assert seen == [("first", SECOND), ("second", 2 * SECOND)]


def test_waiting_may_move_it() -> None:
    """With `auto_advance`, waiting moves the clock to the timeout or to the action that sets the event."""
    clock, event = FakeClock(auto_advance=True), threading.Event()
    start = clock.now()
    assert not clock.wait(event, SECOND)
    clock.call_at(SECOND, event.set)
    assert clock.wait(event, 60 * SECOND)
    assert clock.since(start) == 2 * SECOND
    assert clock.waits == [SECOND, 60 * SECOND]
