"""Readiness over the network, asked of servers on loopback."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from stages.build.readiness import accepts, answers


@contextmanager
def server(reply: bytes) -> Iterator[tuple[int, list[bytes]]]:
    """Sends `reply` to whatever is asked; its port, and the first line of each request."""
    asked: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            connection, _ = listening.accept()
            with connection:
                asked.append(connection.recv(4096).split(b"\r\n")[0])
                connection.sendall(reply)

        thread = threading.Thread(target=serve)
        thread.start()
        yield listening.getsockname()[1], asked
        thread.join()


@pytest.mark.parametrize(
    ("reply", "ready"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", True),
        (b"HTTP/1.1 302 Found\r\nLocation: http://192.0.2.1/\r\nContent-Length: 0\r\n\r\n", True),
        (b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", False),
        (b"HTTP/1.1 503 Starting\r\nContent-Length: 0\r\n\r\n", False),
        (b"-ERR unknown command 'GET'\r\n", False),
        (b"", False),
    ],
)
def test_http_is_ready_by_its_status(reply: bytes, ready: bool) -> None:
    """2xx and 3xx are; a redirect is not followed, and what speaks something else is not ready."""
    with server(reply) as (port, asked):
        assert answers("127.0.0.1", port, "/ready?now") is ready
    assert asked == [b"GET /ready?now HTTP/1.1"]


def test_tcp_is_ready_when_it_accepts() -> None:
    """And not before it listens."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        assert accepts("127.0.0.1", port)
    assert not accepts("127.0.0.1", port)
    assert not answers("127.0.0.1", port, "/")
