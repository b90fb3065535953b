"""Long calls of the engine: their result, their errors, and how they end early."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest

from pipeline.base.errors import Cancelled, EngineFault
from pipeline.engine.interfaces import Images
from pipeline.engine.long_call import long_call
from pipeline.testing.fakes.engine import FakeEngine
from tests.support.waiting import DEADLINE

_LIMIT = timedelta(seconds=DEADLINE)


def test_the_result_or_the_error_of_the_work_comes_back() -> None:
    def fail(_: Images) -> None:
        raise EngineFault("the disk is full")

    engine, cancelled = FakeEngine(), threading.Event()
    assert long_call(engine, lambda _: 7, _LIMIT, cancelled) == 7
    with pytest.raises(EngineFault, match="the disk is full"):
        long_call(engine, fail, _LIMIT, cancelled)


def test_nothing_is_begun_for_a_cancelled_run() -> None:
    """However quick the work is: it could be done before the first look."""
    engine, cancelled, called = FakeEngine(), threading.Event(), list[Images]()
    cancelled.set()
    with pytest.raises(Cancelled):
        long_call(engine, called.append, _LIMIT, cancelled)
    assert called == []
