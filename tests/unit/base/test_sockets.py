"""What a socket has to read, also where the process has many descriptors."""

from __future__ import annotations

import fcntl
import resource
import socket
from collections.abc import Iterator

import pytest

from pipeline.base.sockets import has_input

# `select` ends here.
HIGH = 1100


@pytest.fixture
def high_pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """A pair of sockets, the second with a high descriptor."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(before[0], HIGH + 100), before[1]))
    one, two = socket.socketpair()
    with one, two, socket.socket(fileno=fcntl.fcntl(two, fcntl.F_DUPFD, HIGH)) as high:
        yield one, high
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_input(high_pair: tuple[socket.socket, socket.socket]) -> None:
    """It has some after the other end has written, and no more after it was read."""
    one, high = high_pair
    assert not has_input(high)
    one.send(b"x")
    assert has_input(high)
    assert not has_input(one)
    assert has_input(one, high)
    assert high.recv(1) == b"x"
    assert not has_input(high)


def test_the_end(high_pair: tuple[socket.socket, socket.socket]) -> None:
    """The end can be read too."""
    one, high = high_pair
    one.shutdown(socket.SHUT_WR)
    assert has_input(high)
