"""Waiting for the exit of a process. `Popen.wait` with a timeout sleeps in between, and is up to 50 ms too late."""

from __future__ import annotations

import os
import select
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def process_exit(process: subprocess.Popen[bytes]) -> Iterator[Callable[[float], bool]]:
    """Yield a function that waits up to the given seconds and returns whether the process has exited.

    The caller reaps the process, after the `with` block or within it.
    """
    try:
        descriptor = os.pidfd_open(process.pid)
    except OSError:
        # The kernel is older than 5.3, or a sandbox does not allow it.
        yield lambda seconds: _poll(process, seconds)
        return
    # `select` could not wait for descriptors above 1023, which a daemon of many pipelines has.
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    try:
        yield lambda seconds: bool(poll.poll(seconds * 1000))
    finally:
        os.close(descriptor)


def _poll(process: subprocess.Popen[bytes], seconds: float) -> bool:
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        return False
    return True
