"""The client of the control API, and responses that are none."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pipeline.base.errors import SystemFault
from pipeline.base.sockets import private_socket
from pipeline.http.client import Client

Respond = Callable[[bytes], None]


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "serve.sock"


@pytest.fixture
def respond(place: Path) -> Iterator[Respond]:
    """Return a function that lets the next request get these bytes, whatever it is."""
    listening = private_socket(place)
    listening.listen()
    threads: list[threading.Thread] = []

    def serve(answer: bytes) -> None:
        connection, _ = listening.accept()
        with connection:
            connection.recv(65536)
            connection.sendall(answer)
            connection.shutdown(socket.SHUT_RDWR)

    def respond(answer: bytes) -> None:
        threads.append(threading.Thread(target=serve, args=(answer,)))
        threads[-1].start()

    with listening:
        yield respond
        for thread in threads:
            thread.join()


def test_a_response_is_read(place: Path, respond: Respond) -> None:
    """With or without its length."""
    for head in (b"HTTP/1.1 200 OK\r\nContent-Length: 9", b"HTTP/1.0 200 OK"):
        respond(head + b"\r\n\r\n" + b'{"a": 1}\n')
        assert Client(place).ask("GET", "/v1") == {"a": 1}


def test_a_response_without_content(place: Path, respond: Respond) -> None:
    """It is None."""
    respond(b"HTTP/1.1 204 No Content\r\n\r\n")
    assert Client(place).ask("DELETE", "/v1") is None


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"nonsense",
        b"HTTP/1.1",
        b"HTTP/1.1 200 OK",
        b"HTTP/1.1 200 OK\r\ncontent-ty",
        b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n",
        b"HTTP/1.1 200 OK\r\n\r\n{nonsense",
        b"SSH-2.0-OpenSSH 200\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n{}",
    ],
)
def test_what_is_no_response(answer: bytes, place: Path, respond: Respond) -> None:
    """It counts as none, also if it is cut off."""
    respond(answer)
    with pytest.raises(SystemFault, match="does not respond"):
        Client(place).ask("GET", "/v1")


def test_nothing_listens(place: Path) -> None:
    """The error has the socket."""
    with pytest.raises(SystemFault, match=r"the daemon at .*serve\.sock does not respond"):
        Client(place).ask("GET", "/v1")
