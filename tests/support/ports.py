"""Free ports. A port is chosen some time before it is listened on, so each process chooses among its own.

Those of another session of pytest on this machine count too, so a process locks a block of ports until it ends.
"""

from __future__ import annotations

import fcntl
import os
import random
import tempfile
from functools import cache
from pathlib import Path
from typing import IO

from pipeline.base import sockets

WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:])
WORKERS = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
# More than any test needs at once: a process gets each of them once until it has had them all.
_SIZE = 512
BLOCKS = [sockets.PORTS[start : start + _SIZE] for start in range(0, len(sockets.PORTS), _SIZE)]
_held: list[IO[str]] = []


def free_port() -> int:
    """Return a port of this process that is not in use."""
    return sockets.free_port(block())


def free_ports(count: int) -> list[int]:
    """Return different ports of this process that are not in use."""
    return [free_port() for _ in range(count)]


@cache
def block() -> range:
    """Lock a block of ports for this process. Its children have it too."""
    folder = Path(tempfile.gettempdir(), f"penstock-ports-{os.getuid()}")
    folder.mkdir(exist_ok=True)
    for ports in random.SystemRandom().sample(BLOCKS, len(BLOCKS)):
        lock = (folder / str(ports.start)).open("w")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock.close()
        else:
            _held.append(lock)
            return ports
    raise AssertionError(f"all {len(BLOCKS)} blocks of ports are in use")
