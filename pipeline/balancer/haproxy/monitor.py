"""HAProxy's own reports: a line for each server that goes up or down, as a datagram. The activator sends some too.

HAProxy sends them without waiting. If no process listens, or if it does not read, they are lost, and HAProxy continues.
"""

from __future__ import annotations

import os
import re
import socket
import stat
from contextlib import suppress
from pathlib import Path

from pipeline.balancer.haproxy.naming import MASTER_SOCKET, STATE_SOCKET, WORKER_SOCKET, group_of
from pipeline.balancer.haproxy.report_socket import report_socket
from pipeline.base.sockets import connection_to

_MAX_LINE = 2048
# Lines that are kept until they are read, in bytes. The kernel limits their number as well.
_BUFFER = 2**20
# A worker that is only busy is asked again by the reconciliation that follows, which waits longer. In seconds.
_PING_TIMEOUT = 0.5
_STATE = re.compile(r"Server ([^/\s]+)/\S+ is ")


class HAProxyMonitor:
    """The monitor of the HAProxy in one directory. See `PlaneMonitor`."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._socket: socket.socket | None = None
        self._inode = 0

    def open(self) -> bool:
        """Bind the socket, unless it is at its path already."""
        if self._socket is not None and self._inode == self._inode_of(STATE_SOCKET):
            return True
        self.close()
        with suppress(OSError):
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._socket = report_socket(self._directory, STATE_SOCKET, _BUFFER)
            self._inode = self._inode_of(STATE_SOCKET)
        return self._socket is not None

    def close(self) -> None:
        """Close the socket. HAProxy drops its reports from now on."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def fileno(self) -> int:
        """Return the descriptor of the socket."""
        return self._socket.fileno() if self._socket is not None else -1

    def owners(self) -> set[str]:
        """Return the owners of the servers in the lines that have arrived."""
        found = set[str]()
        with suppress(BlockingIOError):
            while self._socket is not None:
                line = self._socket.recv(_MAX_LINE).decode(errors="replace")
                if state := _STATE.match(line):
                    found.add(group_of(state[1]).partition(".")[0])
        return found

    def exits(self) -> tuple[int, ...]:
        """Return nothing: the supervisor waits for the exit of HAProxy itself."""
        return ()

    def is_responding(self) -> bool:
        """Return whether HAProxy has its sockets and its worker responds at once."""
        if min(map(self._inode_of, (WORKER_SOCKET, MASTER_SOCKET))) < 0:
            return False
        with suppress(OSError), connection_to(self._directory, WORKER_SOCKET, _PING_TIMEOUT) as worker:
            worker.sendall(b"show version\n")
            return bool(worker.recv(1))
        return False

    def _inode_of(self, name: str) -> int:
        """Return the inode of a socket in the directory, or -1 without one."""
        try:
            found = os.stat(f"{self._directory}/{name}", follow_symlinks=False)  # noqa: PTH116  # several in each round
        except OSError:
            return -1
        return found.st_ino if stat.S_ISSOCK(found.st_mode) else -1
