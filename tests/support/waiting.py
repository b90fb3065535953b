"""Waiting for a condition, with a deadline."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from typing import Any


def until(condition: Callable[[], Any], what: str, *, deadline: float = 10, interval: float = 0.005) -> Any:
    """Return the first true value of `condition`, tried every `interval` seconds.

    Fail after `deadline` seconds, naming `what` was awaited.
    """
    end = time.monotonic() + deadline
    while time.monotonic() < end:
        if result := condition():
            return result
        time.sleep(interval)
    raise AssertionError(f"not within {deadline} s: {what}")


def listens(port: int) -> bool:
    """Return whether a server accepts connections at a port of 127.0.0.1."""
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0
