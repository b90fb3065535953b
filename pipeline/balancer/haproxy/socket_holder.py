"""HAProxy's listening sockets in the hands of a process that stays: what connects while HAProxy is dead, waits there.

HAProxy gives its sockets to whoever says `_getsocks` at its worker's socket; one that is started with `-x` says the
same where that points, and goes on with what it gets. So who holds them answers as a HAProxy that has never ended.
Either side's words: how many there are; then up to 252 of them at a time with a description of each (its namespace and
its interface, each after a byte with its length, and four bytes of options), and a word back that they have come.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from pipeline.balancer.haproxy.words import HOLDER_SOCKET, WORKER_SOCKET
from pipeline.base.sockets import connection_to, private_socket

_TIMEOUT = 2.0
_AT_A_TIME = 252
_NUMBER = struct.Struct("i")
# What goes wrong where HAProxy ends in the middle, or is one that describes its sockets in another way.
_UNUSABLE = (OSError, struct.error, ValueError, IndexError)
_ASK, _RENEW, _RELEASE = b"_getsocks\n", b"renew\n", b"release\n"


@dataclass(frozen=True)
class _Held:
    listener: socket.socket
    description: bytes


class SocketHolder:
    """Holds what the HAProxy of one directory listens on. Raises `SystemFault` where nobody can ask it."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._door = private_socket(directory / HOLDER_SOCKET)
        self._held: list[_Held] = []

    def run_forever(self) -> None:
        """Until `close`: hold, and give."""
        self._renew()
        while True:
            try:
                visitor, _ = self._door.accept()
            except OSError:
                break
            with visitor, suppress(OSError):
                visitor.settimeout(_TIMEOUT)
                self._answer(visitor)
        self._door.close()
        self._let_go()

    def close(self) -> None:
        """Have `work` end soon. What HAProxy listens on by itself stays."""
        (self._directory / HOLDER_SOCKET).unlink(missing_ok=True)
        self._door.shutdown(socket.SHUT_RDWR)

    def _answer(self, visitor: socket.socket) -> None:
        word = visitor.recv(len(_ASK))
        if word == _ASK:
            _give(visitor, self._held)
        elif word == _RENEW:
            self._renew()
        elif word == _RELEASE:
            self._let_go()

    def _renew(self) -> None:
        # A HAProxy that dies meanwhile is started again with what it had before.
        with suppress(*_UNUSABLE), connection_to(self._directory, WORKER_SOCKET, _TIMEOUT) as worker:
            worker.sendall(_ASK)
            taken = list(_taken(worker))
            self._let_go()
            self._held = taken

    def _let_go(self) -> None:
        for held in self._held:
            held.listener.close()
        self._held = []


def renew(directory: Path) -> None:
    """Have what HAProxy listens on now be held, and nothing else. Does nothing where there is no holder."""
    _tell(directory, _RENEW)


def release(directory: Path) -> None:
    """Have nothing be held: HAProxy has ended, and was to."""
    _tell(directory, _RELEASE)


def are_held(directory: Path) -> bool:
    """Whether a HAProxy that is started can go on with the sockets of the former one."""
    with suppress(OSError), connection_to(directory, HOLDER_SOCKET, _TIMEOUT):
        return True
    return False


def _tell(directory: Path, word: bytes) -> None:
    with suppress(OSError), connection_to(directory, HOLDER_SOCKET, _TIMEOUT) as holder:
        holder.sendall(word)
        # Its end of the connection ends when it has done so.
        holder.recv(1)


def _taken(worker: socket.socket) -> Iterator[_Held]:
    """What a worker listens on for others. Its own socket would make a dead one look alive."""
    (left,) = _NUMBER.unpack(worker.recv(_NUMBER.size, socket.MSG_WAITALL))
    while left > 0:
        text, descriptors, _, _ = socket.recv_fds(worker, 65536, _AT_A_TIME, socket.MSG_CMSG_CLOEXEC)
        if not descriptors:
            raise ConnectionResetError("HAProxy ended while it gave its sockets away")
        left -= len(descriptors)
        worker.sendall(_NUMBER.pack(len(descriptors)))
        for descriptor, description in zip(descriptors, _described(text), strict=True):
            listener = socket.socket(fileno=descriptor)
            if listener.family == socket.AF_UNIX:
                listener.close()
            else:
                yield _Held(listener, description)


def _described(text: bytes) -> Iterator[bytes]:
    while text:
        size = 1 + text[0]
        size += 1 + text[size] + _NUMBER.size
        yield text[:size]
        text = text[size:]


def _give(visitor: socket.socket, held: list[_Held]) -> None:
    visitor.sendall(_NUMBER.pack(len(held)))
    for start in range(0, len(held), _AT_A_TIME):
        part = held[start : start + _AT_A_TIME]
        descriptors = [one.listener.fileno() for one in part]
        socket.send_fds(visitor, [b"".join(one.description for one in part)], descriptors)
        visitor.recv(_NUMBER.size)
