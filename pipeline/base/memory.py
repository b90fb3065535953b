"""The memory of a process that runs for long."""

from __future__ import annotations

import ctypes
import gc
from contextlib import suppress


def release_memory() -> None:
    """Give the kernel back what the process has freed. Takes some milliseconds.

    glibc keeps freed memory in pieces for each thread, so a daemon would grow a little with each piece of work. With
    another C library, only Python's unused objects are freed.
    """
    gc.collect()
    with suppress(AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
