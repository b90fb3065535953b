"""Free ports. A port is chosen some time before it is listened on, so each pytest worker chooses among its own."""

from __future__ import annotations

import os

from pipeline.base import sockets

WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:])
WORKERS = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
PORTS = sockets.PORTS[WORKER::WORKERS]


def free_port() -> int:
    """Return a port of this worker that is not in use."""
    return sockets.free_port(PORTS)


def free_ports(count: int) -> list[int]:
    """Return different ports of this worker that are not in use."""
    return [free_port() for _ in range(count)]
