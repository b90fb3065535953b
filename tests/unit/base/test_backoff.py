"""How often a remote repository is asked."""

from __future__ import annotations

import random
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.base.backoff import LONGEST, Pace

MINUTE = timedelta(minutes=1)


def failed(pace: Pace, times: int) -> Pace:
    """The pace after so many failures."""
    for _ in range(times):
        pace = pace.after(succeeded=False)
    return pace


@pytest.mark.parametrize(("number", "seconds"), [(0.0, 54), (0.5, 60), (1.0, 66)])
def test_the_interval_is_kept_to_a_tenth(number: float, seconds: int) -> None:
    """What goes well is asked every interval, a tenth more or less."""
    assert Pace(MINUTE).wait(lambda: number) == timedelta(seconds=seconds)


@pytest.mark.parametrize(("failures", "minutes"), [(0, 1), (1, 2), (2, 4), (3, 8), (4, 15), (5, 15), (10_000, 15)])
def test_failures_double_the_wait(failures: int, minutes: int) -> None:
    """Each failure in a row doubles it, up to a quarter of an hour."""
    assert failed(Pace(MINUTE), failures).wait(lambda: 0.5) == timedelta(minutes=minutes)


def test_a_success_begins_again() -> None:
    """After one success the pace is the first one."""
    assert failed(Pace(MINUTE), 7).after(succeeded=True) == Pace(MINUTE)


def test_a_long_interval_is_not_cut_short() -> None:
    """Who asks once a day does not ask more often because it failed."""
    assert failed(Pace(timedelta(days=1)), 3).wait(lambda: 0.5) == timedelta(days=1)


@given(
    interval=st.timedeltas(timedelta(seconds=1), timedelta(days=365)),
    failures=st.integers(0, 10**6),
    seed=st.integers(),
)
def test_every_wait_is_within_bounds(interval: timedelta, failures: int, seed: int) -> None:
    """No wait is shorter than nine tenths of the interval, or longer than a tenth past the longest."""
    wait = Pace(interval, failures).wait(random.Random(seed).random)
    assert 0.899 * interval <= wait <= 1.101 * max(LONGEST, interval)


def test_those_who_start_together_do_not_ask_together() -> None:
    """A hundred remotes of one interval spread over a fifth of it."""
    source = random.Random(17)
    waits = [Pace(MINUTE).wait(source.random) for _ in range(100)]
    assert max(waits) - min(waits) > timedelta(seconds=10)
