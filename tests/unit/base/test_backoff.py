"""Backoff: growing waits between attempts."""

from __future__ import annotations

import random
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.base.backoff import Backoff

MINUTE = timedelta(minutes=1)
QUARTER = timedelta(minutes=15)


def failed(backoff: Backoff, times: int) -> Backoff:
    """Return the state after `failures` failures."""
    for _ in range(times):
        backoff = backoff.after(succeeded=False)
    return backoff


@pytest.mark.parametrize(("number", "seconds"), [(0.0, 54), (0.5, 60), (1.0, 66)])
def test_the_first_wait_is_kept_to_its_jitter(number: float, seconds: int) -> None:
    """With a jitter of a tenth, a wait of a minute differs by at most a tenth."""
    assert Backoff(MINUTE, jitter=0.1).delay(lambda: number) == timedelta(seconds=seconds)


def test_without_jitter_every_wait_is_exact() -> None:
    """Without jitter, no random number is drawn."""
    assert failed(Backoff(MINUTE), 2).delay(lambda: pytest.fail("asked")) == 4 * MINUTE


@pytest.mark.parametrize(("failures", "minutes"), [(0, 1), (1, 2), (2, 4), (3, 8), (4, 15), (5, 15), (10_000, 15)])
def test_failures_double_the_wait(failures: int, minutes: int) -> None:
    """Each failure in a row doubles it, up to the longest."""
    assert failed(Backoff(MINUTE, QUARTER), failures).delay() == timedelta(minutes=minutes)


def test_a_success_resets_the_wait() -> None:
    """A success resets the wait to the first one."""
    assert failed(Backoff(MINUTE), 7).after(succeeded=True) == Backoff(MINUTE)


def test_the_longest_wait_is_never_exceeded() -> None:
    """No wait exceeds the longest, even if the first one is longer."""
    assert Backoff(timedelta(days=1), QUARTER).delay() == QUARTER


@given(
    first=st.timedeltas(timedelta(seconds=1), timedelta(days=365)),
    longest=st.timedeltas(timedelta(seconds=1), timedelta(days=365)),
    failures=st.integers(0, 10**6),
    seed=st.integers(),
)
def test_every_wait_is_within_bounds(first: timedelta, longest: timedelta, failures: int, seed: int) -> None:
    """No wait is shorter than nine tenths of the first, or longer than eleven tenths of the longest."""
    delay = Backoff(first, longest, 0.1, failures).delay(random.Random(seed).random)
    assert 0.899 * min(first, longest) <= delay <= 1.101 * longest


def test_jitter_spreads_simultaneous_retries() -> None:
    """A hundred waits of one minute spread over a fifth of a minute."""
    source = random.Random(17)
    delays = [Backoff(MINUTE, jitter=0.1).delay(source.random) for _ in range(100)]
    assert max(delays) - min(delays) > timedelta(seconds=10)
