"""The sockets for HAProxy's reports, each of which is a line in a datagram."""

from __future__ import annotations

import socket
from pathlib import Path

from pipeline.balancer.haproxy.worker_user import admit_workers
from pipeline.base.sockets import short_path


def report_socket(directory: Path, name: str, buffer: int) -> socket.socket:
    """Return a socket at a path in the directory, which never waits. One that was there receives no more.

    `buffer`: the bytes of reports that are kept until they are read. The kernel limits their number as well. Raises
    `OSError`.
    """
    path = directory / name
    path.unlink(missing_ok=True)
    reports = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    try:
        reports.setblocking(False)
        reports.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        with short_path(directory, name) as short:
            reports.bind(short)
        path.chmod(0o600)
        admit_workers(path)
    except OSError:
        reports.close()
        raise
    return reports
