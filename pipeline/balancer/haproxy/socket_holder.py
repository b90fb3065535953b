"""A holder of HAProxy's listening sockets, so new connections wait there while HAProxy restarts after a crash.

HAProxy passes its sockets to a process that sends `_getsocks` to its worker's socket. A HAProxy that is started with
`-x` sends the same to that path and continues with the sockets. The holder speaks this protocol on both sides.
The sender sends the number of sockets. Then it sends up to 252 of them at a time, with a description of each: its
namespace and its interface, each after a byte with its length, and four bytes of options. The receiver acknowledges
each message with the number of sockets in it.
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
# The errors if HAProxy exits during the transfer, or describes its sockets in another format.
_UNUSABLE = (OSError, struct.error, ValueError, IndexError)
_GET_SOCKETS, _RENEW, _RELEASE = b"_getsocks\n", b"renew\n", b"release\n"


@dataclass(frozen=True)
class _HeldSocket:
    listener: socket.socket
    description: bytes


class SocketHolder:
    """The holder of the listening sockets of one directory's HAProxy. Raises `SystemFault` if it cannot listen."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._server = private_socket(directory / HOLDER_SOCKET)
        self._sockets: list[_HeldSocket] = []

    def run_forever(self) -> None:
        """Hold sockets and pass them on, until `close`."""
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
        """Make `run_forever` return soon. A running HAProxy keeps its own sockets."""
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
        # If HAProxy dies during the transfer, the previous sockets stay, and it is restarted with them.
        with suppress(*_UNUSABLE), connection_to(self._directory, WORKER_SOCKET, _TIMEOUT) as worker:
            worker.sendall(_GET_SOCKETS)
            received = list(_receive_sockets(worker))
            self._close_sockets()
            self._sockets = received

    def _close_sockets(self) -> None:
        for held in self._sockets:
            held.listener.close()
        self._sockets = []


def refresh(directory: Path) -> None:
    """Make the holder take HAProxy's current sockets. Does nothing if there is no holder."""
    _send_command(directory, _RENEW)


def release(directory: Path) -> None:
    """Make the holder close its sockets, after HAProxy was stopped."""
    _send_command(directory, _RELEASE)


def can_pass_sockets(directory: Path) -> bool:
    """Return whether a holder runs, so a new HAProxy can continue with the sockets."""
    with suppress(OSError), connection_to(directory, HOLDER_SOCKET, _TIMEOUT):
        return True
    return False


def _send_command(directory: Path, command: bytes) -> None:
    with suppress(OSError), connection_to(directory, HOLDER_SOCKET, _TIMEOUT) as holder:
        holder.sendall(command)
        # The holder closes the connection when it is done.
        holder.recv(1)


def _receive_sockets(worker: socket.socket) -> Iterator[_HeldSocket]:
    """Yield a worker's TCP sockets. Holding its Unix sockets would make a dead worker look alive."""
    (left,) = _NUMBER.unpack(worker.recv(_NUMBER.size, socket.MSG_WAITALL))
    while left > 0:
        text, descriptors, _, _ = socket.recv_fds(worker, 65536, _MAX_SOCKETS_PER_MESSAGE, socket.MSG_CMSG_CLOEXEC)
        if not descriptors:
            raise ConnectionResetError("HAProxy exited while it passed its sockets on")
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
