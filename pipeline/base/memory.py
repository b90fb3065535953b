"""The memory of a process that runs for long."""

from __future__ import annotations

import ctypes
from contextlib import suppress


def release_memory() -> None:
    """Give the kernel back what the process has freed. Takes some milliseconds.

    glibc keeps freed memory in pieces for each thread, so a daemon would grow a little with each piece of work. Has no
    effect with another C library.
    """
    with suppress(AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
