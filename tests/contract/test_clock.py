"""Contract of `Clock`, kept by every clock."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest

from pipeline.base.clock import Clock, Stamp, SystemClock
from pipeline.testing.fakes.clock import FakeClock
from tests.support.waiting import DEADLINE

STEP = timedelta(milliseconds=20)
LONG = timedelta(hours=1)


@dataclass(frozen=True)
class Timed:
    """A clock, with functions to make time pass on it and to trigger a thread's timeout."""

    clock: Clock
    pass_time: Callable[[timedelta], object]
    end_wait: Callable[[], object] = lambda: None


def system() -> Timed:
    """Return the machine's clock, on which time passes without help."""
    clock = SystemClock()
    return Timed(clock, lambda by: clock.wait(threading.Event(), by))


def fake() -> Timed:
    """Return a fake clock that its test advances."""
    clock = FakeClock()
    return Timed(clock, clock.advance, clock.advance_to_next_timeout)


def advancing() -> Timed:
    """Return a fake clock that waiting advances."""
    clock = FakeClock(auto_advance=True)
    return Timed(clock, clock.advance)


@pytest.fixture(params=[system, fake, advancing])
def timed(request: pytest.FixtureRequest) -> Timed:
    made: Timed = request.param()
    return made


def test_a_stamp_says_when_it_was_taken(timed: Timed) -> None:
    """A stamp has a wall time in UTC and counts from a boot."""
    stamp = timed.clock.now()
    assert stamp.wall.tzinfo is UTC
    assert stamp.boot
    assert stamp.seconds > 0


def test_time_passes_alike_for_all(timed: Timed) -> None:
    """Stamps and deadlines count the same time, and a later stamp has the same boot."""
    before, started = timed.clock.now(), timed.clock.monotonic()
    timed.pass_time(STEP)
    assert timed.clock.since(before) >= STEP
    assert timed.clock.monotonic() - started >= STEP.total_seconds() - 1e-6
    after = timed.clock.now()
    assert after.boot == before.boot
    assert after.since(before) >= STEP


def test_a_stamp_of_the_future_is_no_time_ago(timed: Timed) -> None:
    """A stamp of the future has age 0 by boot time and by wall time."""
    now = timed.clock.now()
    assert timed.clock.since(Stamp(now.wall, now.boot, now.seconds + 100)) == timedelta(0)
    assert timed.clock.since(Stamp.from_wall(now.wall + LONG)) == timedelta(0)


def test_within_one_boot_the_wall_clock_does_not_count(timed: Timed) -> None:
    """A change of the wall clock does not change the age of a stamp."""
    now = timed.clock.now()
    stamp = Stamp(now.wall - timedelta(days=400), now.boot, now.seconds - 60)
    assert timedelta(seconds=60) <= timed.clock.since(stamp) < timedelta(seconds=60) + LONG


@pytest.mark.parametrize("boot", ["another-boot", ""])
def test_across_boots_the_wall_clock_counts(timed: Timed, boot: str) -> None:
    """The age of a stamp from another boot follows from the wall clock."""
    stamp = Stamp(timed.clock.now().wall - LONG, boot, 10.0**9)
    assert LONG <= timed.clock.since(stamp) < 2 * LONG


def test_a_wait_ends_with_its_timeout(timed: Timed) -> None:
    """A wait returns False after its timeout."""
    clock, started = timed.clock, timed.clock.monotonic()
    answers: list[bool] = []
    thread = threading.Thread(target=lambda: answers.append(clock.wait(threading.Event(), STEP)), daemon=True)
    thread.start()
    timed.end_wait()
    thread.join(DEADLINE)
    assert answers == [False]
    assert clock.monotonic() - started >= STEP.total_seconds() - 1e-6


@pytest.mark.parametrize("timeout", [LONG, timedelta(0), -LONG])
def test_a_wait_for_what_is_set_ends_at_once(timed: Timed, timeout: timedelta) -> None:
    """A wait for an event that is set returns True at once, with any timeout."""
    event = threading.Event()
    event.set()
    started = timed.clock.monotonic()
    assert timed.clock.wait(event, timeout)
    assert timed.clock.monotonic() - started < LONG.total_seconds() / 2


@pytest.mark.parametrize("timeout", [timedelta(0), -LONG])
def test_a_wait_without_a_timeout_only_looks(timed: Timed, timeout: timedelta) -> None:
    """A wait with timeout 0 returns False at once if the event is not set."""
    assert not timed.clock.wait(threading.Event(), timeout)


@pytest.mark.parametrize("make", [system, fake])
def test_an_event_of_another_thread_ends_a_wait(make: Callable[[], Timed]) -> None:
    """An event ends the wait of every thread before the timeout."""
    clock, event, answers = make().clock, threading.Event(), []
    threads = [threading.Thread(target=lambda: answers.append(clock.wait(event, LONG)), daemon=True) for _ in range(8)]
    for thread in threads:
        thread.start()
    event.set()
    for thread in threads:
        thread.join(DEADLINE)
    assert answers == [True] * 8


@pytest.mark.parametrize("make", [system, fake])
def test_the_longest_wait_is_no_error(make: Callable[[], Timed]) -> None:
    """A timeout of centuries ends when the event is set."""
    event = threading.Event()
    threading.Timer(STEP.total_seconds(), event.set).start()
    assert make().clock.wait(event, timedelta.max)


def test_any_thread_may_read_it(timed: Timed) -> None:
    """Deadlines read by many threads never decrease."""
    backwards: list[float] = []

    def read() -> None:
        last = timed.clock.monotonic()
        for _ in range(200):
            now = timed.clock.monotonic()
            timed.clock.now()
            if now < last:
                backwards.append(now)
            last = now

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    for _ in range(50):
        timed.pass_time(timedelta(milliseconds=1))
    for thread in threads:
        thread.join()
    assert backwards == []


def test_a_stamp_is_read_from_its_text(timed: Timed) -> None:
    """Also one that has only a wall time. Other text is refused."""
    now = timed.clock.now()
    for stamp in (now, Stamp.from_wall(now.wall)):
        assert Stamp.from_text(str(stamp)) == stamp
    for text in ("", "2030-01-01", "a b c", "2030-01-01T00:00:00+00:00 x boot"):
        with pytest.raises(ValueError):  # noqa: PT011
            Stamp.from_text(text)


def test_stamps_of_wall_time_alone_are_compared_by_it() -> None:
    """Two stamps without boot times are compared by their wall times."""
    noon = datetime(2030, 1, 1, 12, tzinfo=UTC)
    assert Stamp.from_wall(noon + LONG).since(Stamp.from_wall(noon)) == LONG
