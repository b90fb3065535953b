"""The threads that make calls to providers."""

from __future__ import annotations

import threading

import pytest

from pipeline.stacks.workers import CallThreads
from tests.support.waiting import DEADLINE


def test_calls_overlap_up_to_a_limit() -> None:
    """So many calls are made at a time, and the others wait for a thread. An error reaches the caller."""
    threads = CallThreads(2, "test")
    both, most, now = threading.Barrier(2, timeout=DEADLINE), [0], [0]
    lock = threading.Lock()

    def call(number: int) -> int:
        with lock:
            now[0] += 1
            most[0] = max(most[0], now[0])
        both.wait()
        with lock:
            now[0] -= 1
        if number == 3:
            raise ValueError("broken")
        return number

    calls = [threads.submit(call, number) for number in range(4)]
    assert [found.result(DEADLINE) for found in calls[:3]] == [0, 1, 2]
    with pytest.raises(ValueError, match="broken"):
        calls[3].result(DEADLINE)
    assert most == [2]
    threads.shutdown()


def test_the_threads_end_after_their_calls() -> None:
    """`shutdown` does not wait, and no thread stays."""
    threads = CallThreads(3, "ending")
    go = threading.Event()
    call = threads.submit(go.wait, 10)
    threads.shutdown()
    go.set()
    assert call.result(DEADLINE)
    for thread in threading.enumerate():
        if thread.name.startswith("ending"):
            thread.join(DEADLINE)
            assert not thread.is_alive()
