"""Ports of this machine."""

from __future__ import annotations

import random
import socket
from collections.abc import Iterator
from functools import cache
from itertools import cycle

# Below what systems take for the near end of connections: there, a port is somebody else's a moment later.
_RANGE = range(10000, 32768)


@cache
def _shuffled() -> Iterator[int]:
    # Not the shared generator: who seeds that one (a test, say) would have processes draw the same ports.
    return cycle(random.SystemRandom().sample(_RANGE, len(_RANGE)))


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on. It stays free for as long as nobody else is quicker.

    A process gets none twice until it has had them all: it may ask for several before it listens on the first.
    """
    while True:
        port = next(_shuffled())
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
