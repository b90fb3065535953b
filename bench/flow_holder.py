"""Programs that hold many connections: `python -m bench.flow_holder accept|connect ADDRESS PORT [NUMBER]`.

`accept` answers each byte with the same one. `connect` opens connections from ADDRESS. For each line of its input, the
port and host to connect to or `check`, it prints the number of connections that it has opened, or that are broken.
"""

from __future__ import annotations

import selectors
import socket
import struct
import sys
from contextlib import suppress

_TIMEOUT = 20.0
_BACKLOG = 4096
# A connection ends by a reset, so that no socket of the kernel stays behind.
_LINGER = struct.pack("ii", 1, 0)


def accept(address: str, port: int) -> None:
    """Accept connections for ever."""
    selector = selectors.DefaultSelector()
    listener = socket.create_server((address, port), backlog=_BACKLOG)
    listener.setblocking(False)
    selector.register(listener, selectors.EVENT_READ)
    print("listening", flush=True)  # its protocol
    while True:
        for key, _ in selector.select():
            if key.fileobj is listener:
                _accept_all(listener, selector)
            else:
                _echo(key.fileobj, selector)  # type: ignore[arg-type]


def _accept_all(listener: socket.socket, selector: selectors.BaseSelector) -> None:
    with suppress(BlockingIOError):
        while True:
            accepted = listener.accept()[0]
            accepted.setblocking(False)
            selector.register(accepted, selectors.EVENT_READ)


def _echo(connection: socket.socket, selector: selectors.BaseSelector) -> None:
    with suppress(OSError):
        if data := connection.recv(1):
            connection.send(data)
            return
    selector.unregister(connection)
    connection.close()


def connect(source: str) -> None:
    """Do what the lines of the input say."""
    held: list[socket.socket] = []
    for line in sys.stdin:
        words = line.split()
        if words[0] == "check":
            print(_check(held), flush=True)  # its protocol
        else:
            held += [_open(source, (words[1], int(words[2]))) for _ in range(int(words[0]))]
            print(len(held), flush=True)  # its protocol


def _open(source: str, to: tuple[str, int]) -> socket.socket:
    connection = socket.create_connection(to, _TIMEOUT, (source, 0))
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER)
    return connection


def _check(held: list[socket.socket]) -> int:
    """Send a byte on each connection, and return how many are broken. These are given up."""
    working = []
    for connection in held:
        with suppress(OSError):
            connection.send(b".")
            if connection.recv(1) == b".":
                working.append(connection)
                continue
        connection.close()
    broken = len(held) - len(working)
    held[:] = working
    return broken


if __name__ == "__main__":
    if sys.argv[1] == "accept":
        accept(sys.argv[2], int(sys.argv[3]))
    else:
        connect(sys.argv[2])
