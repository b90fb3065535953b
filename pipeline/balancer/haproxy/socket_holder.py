"""HAProxy's listening sockets in the hands of a process that stays: what connects while HAProxy is dead, waits there.

HAProxy gives its sockets to whoever says `_getsocks` at its worker's socket; one that is started with `-x` says the
same where that points, and goes on with what it gets. So who holds them answers as a HAProxy that has never ended.
Either side's words: how many there are; then up to 252 of them at a time with a description of each (its namespace and
its interface, each after a byte with its length, and four bytes of options), and a command back that they have come.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from pipeline.balancer.haproxy.naming import HOLDER_SOCKET, WORKER_SOCKET
from pipeline.base.sockets import connection_to, private_socket

_TIMEOUT = 2.0
_MAX_SOCKETS_PER_MESSAGE = 252
_NUMBER = struct.Struct("i")
# What goes wrong where HAProxy ends in the middle, or is one that describes its sockets in another way.
_UNUSABLE = (OSError, struct.error, ValueError, IndexError)
_GET_SOCKETS, _RENEW, _RELEASE = b"_getsocks\n", b"renew\n", b"release\n"


@dataclass(frozen=True)
class _HeldSocket:
    listener: socket.socket
    description: bytes


class SocketHolder:
    """Holds what the HAProxy of one directory listens on. Raises `SystemFault` where nobody can ask it."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._server = private_socket(directory / HOLDER_SOCKET)
        self._sockets: list[_HeldSocket] = []

    def run_forever(self) -> None:
        """Until `close`: hold, and give."""
        self._refresh()
        while True:
            try:
                client, _ = self._server.accept()
            except OSError:
                break
            with client, suppress(OSError):
                client.settimeout(_TIMEOUT)
                self._handle(client)
        self._server.close()
        self._close_sockets()

    def close(self) -> None:
        """Have `work` end soon. What HAProxy listens on by itself stays."""
        (self._directory / HOLDER_SOCKET).unlink(missing_ok=True)
        self._server.shutdown(socket.SHUT_RDWR)

    def _handle(self, client: socket.socket) -> None:
        command = client.recv(len(_GET_SOCKETS))
        if command == _GET_SOCKETS:
            _send_sockets(client, self._sockets)
        elif command == _RENEW:
            self._refresh()
        elif command == _RELEASE:
            self._close_sockets()

    def _refresh(self) -> None:
        # A HAProxy that dies meanwhile is started again with what it had before.
        with suppress(*_UNUSABLE), connection_to(self._directory, WORKER_SOCKET, _TIMEOUT) as worker:
            worker.sendall(_GET_SOCKETS)
            taken = list(_receive_sockets(worker))
            self._close_sockets()
            self._sockets = taken

    def _close_sockets(self) -> None:
        for held in self._sockets:
            held.listener.close()
        self._sockets = []


def refresh(directory: Path) -> None:
    """Have what HAProxy listens on now be held, and nothing else. Does nothing where there is no holder."""
    _send_command(directory, _RENEW)


def release(directory: Path) -> None:
    """Have nothing be held: HAProxy has ended, and was to."""
    _send_command(directory, _RELEASE)


def can_pass_sockets(directory: Path) -> bool:
    """Whether a HAProxy that is started can go on with the sockets of the former one."""
    with suppress(OSError), connection_to(directory, HOLDER_SOCKET, _TIMEOUT):
        return True
    return False


def _send_command(directory: Path, command: bytes) -> None:
    with suppress(OSError), connection_to(directory, HOLDER_SOCKET, _TIMEOUT) as holder:
        holder.sendall(command)
        # Its end of the connection ends when it has done so.
        holder.recv(1)


def _receive_sockets(worker: socket.socket) -> Iterator[_HeldSocket]:
    """What a worker listens on for others. Its own socket would make a dead one look alive."""
    (left,) = _NUMBER.unpack(worker.recv(_NUMBER.size, socket.MSG_WAITALL))
    while left > 0:
        text, descriptors, _, _ = socket.recv_fds(worker, 65536, _MAX_SOCKETS_PER_MESSAGE, socket.MSG_CMSG_CLOEXEC)
        if not descriptors:
            raise ConnectionResetError("HAProxy ended while it gave its sockets away")
        left -= len(descriptors)
        worker.sendall(_NUMBER.pack(len(descriptors)))
        for descriptor, description in zip(descriptors, _descriptions(text), strict=True):
            listener = socket.socket(fileno=descriptor)
            if listener.family == socket.AF_UNIX:
                listener.close()
            else:
                yield _HeldSocket(listener, description)


def _descriptions(text: bytes) -> Iterator[bytes]:
    while text:
        size = 1 + text[0]
        size += 1 + text[size] + _NUMBER.size
        yield text[:size]
        text = text[size:]


def _send_sockets(client: socket.socket, held: list[_HeldSocket]) -> None:
    client.sendall(_NUMBER.pack(len(held)))
    for start in range(0, len(held), _MAX_SOCKETS_PER_MESSAGE):
        part = held[start : start + _MAX_SOCKETS_PER_MESSAGE]
        descriptors = [one.listener.fileno() for one in part]
        socket.send_fds(client, [b"".join(one.description for one in part)], descriptors)
        client.recv(_NUMBER.size)
