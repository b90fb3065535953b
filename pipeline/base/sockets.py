"""Unix sockets in a private directory, and free TCP ports of this machine."""

from __future__ import annotations

import os
import random
import select
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from itertools import cycle
from pathlib import Path
from typing import Protocol

from pipeline.base.errors import SystemFault

PORTS = range(10000, 32768)
"""Below Linux's default ephemeral range, where an outgoing connection could take a port before its owner listens."""


class HasFileno(Protocol):
    """A file or socket that is open."""

    def fileno(self) -> int:
        """Return its descriptor."""


@contextmanager
def short_path(directory: Path, name: str) -> Iterator[str]:
    """Yield a path of a socket in `directory` that fits the kernel's length limit for any directory."""
    folder = os.open(directory, os.O_PATH | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{folder}/{name}"
    finally:
        os.close(folder)


def has_input(*files: HasFileno) -> bool:
    """Return whether one of the files has something to read, or one of the listening sockets a connection to accept."""
    # `select` fails for descriptors above 1023, which a daemon of many pipelines has.
    poll = select.poll()
    for file in files:
        poll.register(file, select.POLLIN)
    return bool(poll.poll(0))


@contextmanager
def connection_to(directory: Path, name: str, timeout: float) -> Iterator[socket.socket]:
    """Yield a connection to a socket in `directory`. `timeout` in seconds.

    Raises `OSError` if no process listens.
    """
    with short_path(directory, name) as path, socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(timeout)
        connection.connect(path)
        yield connection


def private_socket(path: Path) -> socket.socket:
    """Return a listening socket at `path` that only its owner may open.

    Replaces an existing socket, so the caller must know that no other process uses the path.
    """
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with short_path(path.parent, path.name) as short:
            listener.bind(short)
            # Clients cannot connect before `listen`, so there is no window with wider permissions.
            Path(short).chmod(0o600)
    except OSError as error:
        listener.close()
        raise SystemFault(f"cannot listen at {path}: {error.strerror or error}") from error
    listener.listen()
    return listener


@cache
def has_ipv6() -> bool:
    """Return whether a program can listen on the IPv6 addresses of this machine."""
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            probe.bind(("::", 0))
    except OSError:
        return False
    return True


def free_port(ports: range = PORTS) -> int:
    """Return a port of 127.0.0.1, among `ports`, that is not in use. It is not reserved.

    A process gets each port once until it has had them all, so it may request several before it listens on the first.
    """
    while True:
        port = next(_shuffled(ports))
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


@cache
def _shuffled(ports: range) -> Iterator[int]:
    # A separate generator: two processes that seed the shared one alike would draw the same ports.
    return cycle(random.SystemRandom().sample(ports, len(ports)))
