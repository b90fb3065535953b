"""A server keeps its limits, whatever its clients do, and sleeps while none is there."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing

import pytest
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from pipeline.base.errors import ConfigError
from pipeline.http import serving
from pipeline.http.serving import control_config, http_server, public_socket

DEADLINE = 10


async def echo(request: Request) -> Response:
    """Answer with the body, or with what became of it."""
    try:
        return PlainTextResponse(await request.body())
    except ClientDisconnect:
        return PlainTextResponse("cut", 400)


async def follow(_: Request) -> Response:
    """Answer without an end."""

    async def lines():  # type: ignore[no-untyped-def]
        import asyncio

        while True:
            yield "line\n"
            await asyncio.sleep(0.01)

    return StreamingResponse(lines())


@pytest.fixture
def address(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, int]]:
    monkeypatch.setattr(serving, "MAX_CONNECTIONS", 5)
    monkeypatch.setattr(serving, "REQUEST_TIMEOUT", 0.3)
    listener = socket.create_server(("127.0.0.1", 0))
    app = Starlette(routes=[Route("/echo", echo, methods=["GET", "POST"]), Route("/follow", follow)])
    with http_server(control_config(app), listener):
        yield listener.getsockname()


def connect(address: tuple[str, int]) -> socket.socket:
    return socket.create_connection(address, timeout=DEADLINE)


def is_closed(connection: socket.socket) -> bool:
    try:
        return connection.recv(1) == b""
    except ConnectionError:
        return True


def read_all(connection: socket.socket) -> bytes:
    content = b""
    while part := connection.recv(65536):
        content += part
    return content


GET = b"GET /echo HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
POST = b"POST /echo HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 5\r\n\r\n"


def test_an_answer_says_when_it_was_made(address: tuple[str, int]) -> None:
    """Every answer has a date, on a server that no timer wakes."""
    with closing(connect(address)) as connection:
        connection.sendall(GET)
        head = read_all(connection).lower()
    assert head.startswith(b"http/1.1 200 ok")
    assert head.count(b"\r\ndate: ") == 1


def test_who_says_nothing_is_sent_away(address: tuple[str, int]) -> None:
    """Nor may a request take long to begin."""
    for content in (b"", b"GET /echo HTTP/1.1\r\nX-Slow: "):
        with closing(connect(address)) as connection:
            connection.sendall(content)
            assert is_closed(connection)


def test_who_has_asked_may_stay(address: tuple[str, int]) -> None:
    """A follower is not sent away for its silence."""
    with closing(connect(address)) as connection:
        connection.sendall(b"GET /follow HTTP/1.1\r\nHost: x\r\n\r\n")
        end = time.monotonic() + 3 * serving.REQUEST_TIMEOUT
        while time.monotonic() < end:
            assert connection.recv(1024)


def test_a_new_one_is_refused_when_there_are_too_many(address: tuple[str, int]) -> None:
    """Those that are there are answered."""
    with ExitStack() as stack:
        there = [stack.enter_context(closing(connect(address))) for _ in range(5)]
        for connection in there:
            connection.sendall(b"GET /follow HTTP/1.1\r\nHost: x\r\n\r\n")
            assert connection.recv(1)
        with closing(connect(address)) as new:
            assert is_closed(new)
        assert there[0].recv(1)
    with closing(connect(address)) as connection:
        connection.sendall(GET)
        assert read_all(connection).startswith(b"HTTP/1.1 200")


def test_a_body_that_is_cut_short_is_answered(address: tuple[str, int]) -> None:
    """The client may still listen."""
    with closing(connect(address)) as connection:
        connection.sendall(POST + b"ab")
        connection.shutdown(socket.SHUT_WR)
        answer = read_all(connection)
    assert answer.startswith(b"HTTP/1.1 400")
    assert answer.endswith(b"cut")


def test_a_whole_body_is_no_cut_one(address: tuple[str, int]) -> None:
    """Though it comes in parts, and late."""
    with closing(connect(address)) as connection:
        for part in (POST, b"ab", b"cde"):
            connection.sendall(part)
        assert read_all(connection).endswith(b"abcde")


def test_a_follower_that_goes_is_let_go(address: tuple[str, int]) -> None:
    """Its connection ends with it."""
    with closing(connect(address)) as connection:
        connection.sendall(b"GET /follow HTTP/1.1\r\nHost: x\r\n\r\n")
        assert connection.recv(1)
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(65536):
            pass


def test_it_ends_at_once(address: tuple[str, int]) -> None:
    """When nobody is connected."""
    app = Starlette(routes=[Route("/echo", echo)])
    for _ in range(5):
        before = time.monotonic()
        with http_server(control_config(app), socket.create_server(("127.0.0.1", 0))):
            assert any(thread.name == "http" for thread in threading.enumerate())
        assert time.monotonic() - before < 2


@pytest.mark.parametrize("address_text", ["8080", ":8080", "localhost:http", "127.0.0.1:99999"])
def test_an_address_has_a_host_and_a_port(address_text: str) -> None:
    """What has not is named."""
    with pytest.raises(ConfigError, match="is not a valid address"):
        public_socket(address_text)


def test_an_address_that_is_taken(address: tuple[str, int]) -> None:
    """Is said to be."""
    with pytest.raises(ConfigError, match="the address is in use"):
        public_socket(f"127.0.0.1:{address[1]}")
