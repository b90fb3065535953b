"""Figures of a process, here of the test itself."""

from __future__ import annotations

import os
import threading
import time

from bench.process import cpu, cpu_with_children, descriptors, pss, rss, threads


def test_cpu_time() -> None:
    """The CPU time is that of the process, and contains the work of a thread that has exited."""

    def work() -> None:
        end = time.thread_time() + 0.05
        while time.thread_time() < end:
            pass

    before = cpu(os.getpid())
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert cpu(os.getpid()) - before >= 0.05
    assert cpu_with_children(os.getpid()) >= cpu(os.getpid()) - 1


def test_memory() -> None:
    """The proportional memory is at most the resident one, and both are some megabytes."""
    assert 1 < pss(os.getpid()) < rss(os.getpid()) + 1


def test_threads_and_descriptors() -> None:
    """A thread and a descriptor more are counted."""
    done = threading.Event()
    before = threads(os.getpid()), descriptors(os.getpid())
    thread = threading.Thread(target=done.wait)
    thread.start()
    opened = os.open(os.devnull, os.O_RDONLY)
    try:
        assert (threads(os.getpid()), descriptors(os.getpid())) == (before[0] + 1, before[1] + 1)
    finally:
        os.close(opened)
        done.set()
        thread.join()
