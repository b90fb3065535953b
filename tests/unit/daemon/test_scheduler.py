"""The scheduler does each step when it is due, in few threads, and none of them delays another."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from datetime import timedelta

import pytest

from pipeline.daemon.scheduler import Scheduler
from pipeline.testing.fakes.clock import FakeClock
from tests.support.waiting import DEADLINE, until

SECOND = timedelta(seconds=1)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def scheduler(clock: FakeClock) -> Iterator[Scheduler]:
    # A scheduler that is closed does not wait for its threads.
    until(lambda: threads() == 0, "those of the last test end")
    with Scheduler(clock, "scheduled") as scheduler:
        yield scheduler


class Steps:
    """A step that records its times."""

    def __init__(self, clock: FakeClock, delay: timedelta | None = SECOND) -> None:
        self.delay = delay
        self.at: list[float] = []
        self._clock = clock

    def __call__(self) -> timedelta | None:
        self.at.append(self._clock.monotonic())
        return self.delay


def threads() -> int:
    return sum(thread.name == "scheduled" for thread in threading.enumerate())


def test_steps_follow_their_delays(scheduler: Scheduler, clock: FakeClock) -> None:
    """Two loops are repeated, each after its own delay."""
    start, often, seldom = clock.monotonic(), Steps(clock), Steps(clock, 3 * SECOND)
    loops = scheduler.add("often", often, SECOND), scheduler.add("seldom", seldom)
    for number in range(1, 7):
        # Only then is a step over, and the next one known.
        dues = [start + number, start + (number + 2) // 3 * 3]
        until(lambda: [loop.due for loop in loops] == dues, "both loops have a next step")  # noqa: B023
        clock.advance(SECOND)
    until(lambda: len(often.at) == 6 and len(seldom.at) == 3, "the last steps are done")
    assert [at - start for at in often.at[:6]] == [1, 2, 3, 4, 5, 6]
    assert [at - start for at in seldom.at[:3]] == [0, 3, 6]


def test_a_job_that_is_woken(scheduler: Scheduler, clock: FakeClock) -> None:
    """Its next step is done at once, and the delay counts from there."""
    steps = Steps(clock, 60 * SECOND)
    loop = scheduler.add("loop", steps, 60 * SECOND)
    clock.advance(10 * SECOND)
    loop.wake()
    until(lambda: steps.at, "the step is done")
    clock.wait_for_waiters()
    assert clock.advance_to_next_timeout() in (50 * SECOND, 60 * SECOND)


def test_a_wake_during_a_step_is_not_lost(scheduler: Scheduler) -> None:
    """One more step follows, and one only, whatever the number of wakes."""
    entered, leave, count = threading.Event(), threading.Event(), 0

    def step() -> timedelta:
        nonlocal count
        count += 1
        entered.set()
        leave.wait(DEADLINE)
        return timedelta(days=1)

    loop = scheduler.add("loop", step)
    assert entered.wait(DEADLINE)
    for _ in range(5):
        loop.wake()
    assert count == 1
    leave.set()
    until(lambda: count == 2, "the second step")
    loop.stop()
    assert loop.join(DEADLINE)
    assert count == 2


def test_no_two_steps_of_a_job_at_once(scheduler: Scheduler) -> None:
    """Also if it is woken from many threads."""
    inside, most, count, lock = 0, 0, 0, threading.Lock()

    def step() -> timedelta:
        nonlocal inside, most, count
        with lock:
            inside, count = inside + 1, count + 1
            most = max(most, inside)
        time.sleep(0)
        with lock:
            inside -= 1
        return timedelta(days=1)

    loop = scheduler.add("loop", step)
    wakers = [threading.Thread(target=lambda: [loop.wake() for _ in range(200)]) for _ in range(4)]
    for waker in wakers:
        waker.start()
    for waker in wakers:
        waker.join()
    before = count
    loop.wake()
    until(lambda: count > before, "a step after the last wake")
    assert most == 1


def test_jobs_that_hang_delay_no_other(scheduler: Scheduler) -> None:
    """Steps of fifty loops wait. That of another one is done nevertheless, and all threads but one end afterwards."""
    leave, entered, done = threading.Event(), threading.Semaphore(0), threading.Event()

    def hang() -> None:
        entered.release()
        leave.wait(DEADLINE)

    for number in range(50):
        scheduler.add(f"hangs {number}", hang)
    for _ in range(50):
        assert entered.acquire(timeout=DEADLINE)
    scheduler.add("works", done.set)
    assert done.wait(DEADLINE)
    leave.set()
    until(lambda: threads() == 1, "all threads but one end")


def test_many_idle_jobs_need_few_threads(scheduler: Scheduler, clock: FakeClock) -> None:
    """Six hundred loops that are due together are done by a few threads: one more for each 50 ms of a backlog."""
    begin, steps = time.monotonic(), [Steps(clock, 60 * SECOND) for _ in range(600)]
    for each in steps:
        scheduler.add("loop", each)
    until(lambda: all(each.at for each in steps), "each has done a step")
    assert threads() <= 10 + (time.monotonic() - begin) / 0.05


def test_wakes_start_no_threads(scheduler: Scheduler) -> None:
    """While steps wait for a thread, each loop that is woken comes to wait too, and none starts a thread by that."""
    leave, begin = threading.Event(), time.monotonic()
    for number in range(8):
        scheduler.add(f"hangs {number}", lambda: leave.wait(DEADLINE) and None)
    loops = [scheduler.add("loop", lambda: timedelta(days=1)) for _ in range(300)]
    for each in loops:
        each.wake()
    assert threads() <= 10 + (time.monotonic() - begin) / 0.05
    leave.set()


def test_a_stopped_job(scheduler: Scheduler, clock: FakeClock) -> None:
    """`join` waits for the step that runs. No other one is started, and waking it does nothing."""
    entered, leave, steps = threading.Event(), threading.Event(), Steps(clock)

    def step() -> timedelta | None:
        entered.set()
        leave.wait(DEADLINE)
        return steps()

    loop = scheduler.add("loop", step)
    assert entered.wait(DEADLINE)
    loop.stop()
    assert not loop.join(0.01)
    leave.set()
    assert loop.join(DEADLINE)
    loop.wake()
    clock.advance(10 * SECOND)
    assert loop.join(DEADLINE)
    assert len(steps.at) == 1


def test_a_step_that_raises(scheduler: Scheduler, clock: FakeClock) -> None:
    """It is repeated after a second. Other loops continue."""
    failed: list[float] = []

    def fail() -> timedelta:
        failed.append(clock.monotonic())
        raise RuntimeError("a fault")

    scheduler.add("fails", fail)
    until(lambda: failed, "the first step")
    clock.advance_to_next_timeout()
    until(lambda: len(failed) == 2, "the second step")
    assert failed[1] - failed[0] == 1


def test_the_last_step(scheduler: Scheduler, clock: FakeClock) -> None:
    """A step that returns None is the last one, also if the loop is woken meanwhile."""
    steps = Steps(clock, None)
    loop = scheduler.add("loop", steps)
    assert loop.join(DEADLINE)
    loop.wake()
    assert loop.join(DEADLINE)
    assert len(steps.at) == 1
