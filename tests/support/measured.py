"""What coverage measures: a sample of the tests, because it makes them more than twice as slow. With `FULL=1` all."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import pytest

from tests.support.sample import FULL

SUBPROCESSES = "COVERAGE_PROCESS_CONFIG"
"""With this variable, coverage measures a process."""
MEASURED = pytest.StashKey[frozenset[str]]()


def measured(items: Iterable[pytest.Item]) -> frozenset[str]:
    """Return the ids of the first case of each test function, which reaches most lines.

    Generated tests are left out. Each has many cases, and others reach the same lines.
    """
    if FULL:
        return frozenset(item.nodeid for item in items)
    first: dict[str, pytest.Item] = {}
    for item in items:
        first.setdefault(item.nodeid.partition("[")[0], item)
    return frozenset(item.nodeid for item in first.values() if not _is_generated(item))


def _is_generated(item: pytest.Item) -> bool:
    """Return whether Hypothesis makes the cases of a test."""
    return getattr(getattr(item, "obj", None), "is_hypothesis_test", False)


@contextmanager
def unmeasured() -> Iterator[None]:
    """Suspend what coverage has installed in this thread, and in those that start meanwhile."""
    here, threads = sys.gettrace(), threading.gettrace()
    sys.settrace(None)
    threading.settrace(None)
    try:
        yield
    finally:
        sys.settrace(here)
        threading.settrace(threads)
