"""Times at which several threads wake together."""

from __future__ import annotations

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from pipeline.base.clock import until_next
from pipeline.testing.fakes.clock import FakeClock


@given(st.timedeltas(timedelta(milliseconds=1), timedelta(days=1)), st.timedeltas(timedelta(0), timedelta(days=99)))
def test_waits_end_together(interval: timedelta, later: timedelta) -> None:
    """Waits for one interval end at the same time, whenever they begin, and none is longer than the interval."""
    clock = FakeClock()
    clock.advance(later)
    wait = until_next(clock, interval)
    assert timedelta(0) <= wait <= interval
    clock.advance(wait / 2)
    left = until_next(clock, interval)
    assert abs(left - wait / 2) < timedelta(milliseconds=0.1) or wait < timedelta(milliseconds=0.1)
