"""Clients that follow the daemon's events."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

_REQUEST = b"GET /v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n"


@contextmanager
def following(daemon_socket: Path, count: int) -> Iterator[None]:
    """Let some clients follow all events until the block ends."""
    with ExitStack() as stack:
        for _ in range(count):
            client = stack.enter_context(socket.socket(socket.AF_UNIX))
            client.settimeout(10)
            client.connect(str(daemon_socket))
            client.sendall(_REQUEST)
            assert client.recv(4096).startswith(b"HTTP/1.1 200"), "the daemon refuses a follower"
        yield
