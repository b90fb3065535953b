"""The limit of time for code of the main thread."""

from __future__ import annotations

import re
import signal
import time

import pytest

from pipeline.base.time_limit import time_limit


def test_an_expression_that_takes_for_ever_is_interrupted() -> None:
    """It is interrupted, and no alarm is left."""
    before = signal.getsignal(signal.SIGALRM)
    with pytest.raises(TimeoutError), time_limit(0.1):
        re.search("(a+)+b", "a" * 60)
    assert signal.getsignal(signal.SIGALRM) is before
    assert signal.getitimer(signal.ITIMER_REAL) == (0, 0)


def test_what_ends_in_time_is_not_interrupted() -> None:
    """The limit ends with the block."""
    with time_limit(0.05):
        pass
    time.sleep(0.1)
