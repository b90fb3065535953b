"""The kernel's reports about changes of one table, whoever made them."""

from __future__ import annotations

import errno
import socket
from contextlib import suppress
from typing import NamedTuple

from pipeline.balancer.kernel import netlink
from pipeline.balancer.kernel.faults import netlink_fault

_REPORTS = 7
_SUBSYSTEM = 0x0A00
_NEW_GENERATION, _GET_GENERATION = _SUBSYSTEM | 15, _SUBSYSTEM | 16
# In each kind of report, this attribute names the table. In that of a generation, it is the number.
_TABLE, _NUMBER = 1, 1
_INET = 1
_FORCE_BUFFER = 33


class Changes(NamedTuple):
    """The generations of the rules in which a table was changed. `is_complete`: whether no report was lost."""

    generations: tuple[int, ...]
    is_complete: bool


class TableWatch:
    """Receives reports about the table `table` from now on, as many bytes of them as `buffer` holds.

    For one thread at a time. All methods raise `BalancerFault`.
    """

    def __init__(self, table: str, buffer: int) -> None:
        self._name = table.encode() + b"\0"
        try:
            self._socket = netlink.open_socket(_REPORTS)
            # Kept open, because the close of such a socket waits until the kernel has freed replaced rules: 10 ms.
            self._requests = netlink.open_socket()
        except OSError as error:
            raise netlink_fault(error) from None
        with suppress(OSError):
            self._socket.setsockopt(socket.SOL_SOCKET, _FORCE_BUFFER, buffer)
        self._is_touched = False

    def fileno(self) -> int:
        """Return a descriptor that is readable when rules of any table have changed."""
        return self._socket.fileno()

    def generation(self) -> int:
        """Return the number of the last change of any rule of the network namespace."""
        try:
            return next(_number(message) for message in netlink.request(self._requests, _GET_GENERATION, 0))
        except OSError as error:
            raise netlink_fault(error) from None

    def changes(self) -> Changes:
        """Return the changes since the last call, oldest first. Does not wait."""
        found, is_complete = list[int](), True
        while True:
            try:
                received = netlink.receive(self._socket)
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise netlink_fault(error) from None
                is_complete = False
                continue
            if received is None:
                return Changes(tuple(found), is_complete)
            for message in received:
                self._read(message, found)

    def close(self) -> None:
        """Receive no more reports."""
        self._socket.close()
        self._requests.close()

    def _read(self, message: netlink.Message, found: list[int]) -> None:
        # The reports of one change end with that of its generation.
        if message.kind == _NEW_GENERATION:
            if self._is_touched:
                found.append(_number(message))
            self._is_touched = False
        elif message.family == _INET and not self._is_touched:
            names = (value for kind, value in netlink.attributes(message.attributes) if kind == _TABLE)
            self._is_touched |= any(name == self._name for name in names)


def _number(message: netlink.Message) -> int:
    numbers = (value for kind, value in netlink.attributes(message.attributes) if kind == _NUMBER)
    return int.from_bytes(next(numbers), "big")
