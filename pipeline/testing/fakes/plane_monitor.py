"""A monitor of a data plane whose reports a test makes."""

from __future__ import annotations

import socket
from contextlib import suppress


class FakeMonitor:
    """A `PlaneMonitor`. `receives` is what `open` returns, `responds` what `is_responding` does. `exited`: what
    `exits` returns."""

    def __init__(self) -> None:
        self.receives = True
        self.responds = True
        self.exited: tuple[int, ...] = ()
        self.asked = 0
        self._pair: tuple[socket.socket, socket.socket] | None = None

    def report(self, owner: str) -> None:
        """Report a change of a target. Dropped without `open`."""
        if self._pair is not None:
            self._pair[1].send(owner.encode())

    def open(self) -> bool:
        if not self.receives:
            self.close()
        elif self._pair is None:
            self._pair = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
            self._pair[0].setblocking(False)
        return self.receives

    def close(self) -> None:
        for end in self._pair or ():
            end.close()
        self._pair = None

    def fileno(self) -> int:
        return self._pair[0].fileno() if self._pair else -1

    def owners(self) -> set[str]:
        found = set[str]()
        with suppress(BlockingIOError):
            while self._pair is not None:
                found.add(self._pair[0].recv(1024).decode())
        return found

    def exits(self) -> tuple[int, ...]:
        return self.exited

    def is_responding(self) -> bool:
        self.asked += 1
        return self.responds
