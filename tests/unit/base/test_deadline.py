"""Work with a deadline."""

from __future__ import annotations

import threading

import pytest

from pipeline.base.deadline import within


def test_work_in_time() -> None:
    """Its result and its error are the caller's."""
    assert within(60, lambda: 7) == 7
    with pytest.raises(ZeroDivisionError):
        within(60, lambda: 1 // 0)


def test_work_that_is_too_late() -> None:
    """The caller continues, although the work does not end."""
    release = threading.Event()
    with pytest.raises(TimeoutError):
        within(0.01, release.wait)
    release.set()
