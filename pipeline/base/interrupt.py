"""Whether the user has interrupted this process. Waits without an event of their own check it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

_interrupted = threading.Event()


def interrupt() -> None:
    """Record that the user has interrupted this process. Safe to call in a signal handler."""
    _interrupted.set()


def is_interrupted() -> bool:
    """Return whether the user has interrupted this process, within `interruptible`."""
    return _interrupted.is_set()


@contextmanager
def interruptible() -> Iterator[None]:
    """Clear earlier interruptions at the start and the end of the block."""
    _interrupted.clear()
    try:
        yield
    finally:
        _interrupted.clear()
