"""Waiting for a condition, with a deadline."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from typing import Any

DEADLINE = 60.0
"""Seconds that a test waits for what should come soon. Long, because only a test that fails waits for all of them."""
SOON = 30.0
"""Seconds within which a test expects a result on any machine, if the fault that it would find takes `DEADLINE`."""
COMMAND_TIMEOUT = 180.0
"""Seconds after which a test ends a program that it has started. The error then names the program."""
LONGEST_TIMEOUT = 540.0
"""The same, for a program that does the work of a whole test. Less than the limit of pytest."""


def until(condition: Callable[[], Any], what: str, *, deadline: float = DEADLINE, interval: float = 0.005) -> Any:
    """Return the first true value of `condition`, tried every `interval` seconds or less often.

    A condition that takes long itself is tried for a third of the time, so it leaves the processor to what it awaits.
    Fail after `deadline` seconds, naming `what` was awaited.
    """
    end = time.monotonic() + deadline
    while (begun := time.monotonic()) < end:
        if result := condition():
            return result
        time.sleep(max(interval, 2 * (time.monotonic() - begun)))
    raise AssertionError(f"not within {deadline} s: {what}")


def listens(port: int) -> bool:
    """Return whether a server accepts connections at a port of 127.0.0.1."""
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0
