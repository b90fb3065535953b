"""Ports of this machine."""

from __future__ import annotations

import random
import socket

# Below what systems take for the near end of connections: there, a port is somebody else's a moment later.
_RANGE = range(10000, 32768)


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on. It stays free for as long as nobody else is quicker."""
    while True:
        port = random.choice(_RANGE)  # noqa: S311  # nobody may not guess it
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
