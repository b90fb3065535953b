"""A server enforces its limits for all clients, and sleeps while it is idle."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from pipeline.base.errors import ConfigError
from pipeline.http import serving
from pipeline.http.serving import control_config, http_server, public_socket
from tests.support.ports import free_port
from tests.support.waiting import DEADLINE


async def echo(request: Request) -> Response:
    """Respond with the body, or report that it was incomplete."""
    try:
        return PlainTextResponse(await request.body())
    except ClientDisconnect:
        return PlainTextResponse("cut", 400)


async def follow(_: Request) -> Response:
    """Respond without an end."""

    async def lines():  # type: ignore[no-untyped-def]
        import asyncio

        while True:
            yield "line\n"
            await asyncio.sleep(0.01)

    return StreamingResponse(lines())


@pytest.fixture
def address(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, int]]:
    monkeypatch.setattr(serving, "MAX_CONNECTIONS", 5)
    listener = socket.create_server(("127.0.0.1", 0))
    app = Starlette(routes=[Route("/echo", echo, methods=["GET", "POST"]), Route("/follow", follow)])
    with http_server(lambda: control_config(app), listener):
        yield listener.getsockname()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Clients get a second for a request. On a busy machine, those of other tests may take longer."""
    monkeypatch.setattr(serving, "REQUEST_TIMEOUT", 1.0)


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


def test_a_response_has_a_date(address: tuple[str, int]) -> None:
    """Every response has a Date header, although no timer updates it."""
    with closing(connect(address)) as connection:
        connection.sendall(GET)
        head = read_all(connection).lower()
    assert head.startswith(b"http/1.1 200 ok")
    assert head.count(b"\r\ndate: ") == 1


def test_a_silent_client_is_disconnected(impatient: None, address: tuple[str, int]) -> None:
    """A client that sends no request, or only the start of one, is disconnected."""
    for content in (b"", b"GET /echo HTTP/1.1\r\nX-Slow: "):
        with closing(connect(address)) as connection:
            connection.sendall(content)
            assert is_closed(connection)


def test_a_client_with_a_request_may_stay(impatient: None, address: tuple[str, int]) -> None:
    """A client that has sent a request is not disconnected, however long its response takes."""
    with closing(connect(address)) as connection:
        connection.sendall(b"GET /follow HTTP/1.1\r\nHost: x\r\n\r\n")
        end = time.monotonic() + 3 * serving.REQUEST_TIMEOUT
        while time.monotonic() < end:
            assert connection.recv(1024)


def test_a_new_connection_is_refused_above_the_limit(address: tuple[str, int]) -> None:
    """Above the limit a new connection is closed, and the existing ones are served."""
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


def test_the_oldest_silent_connection_gives_way(address: tuple[str, int]) -> None:
    """Above the limit, clients that have sent nothing do not keep out one that sends a request."""
    with ExitStack() as stack:
        follower, *silent = [stack.enter_context(closing(connect(address))) for _ in range(5)]
        follower.sendall(b"GET /follow HTTP/1.1\r\nHost: x\r\n\r\n")
        assert follower.recv(1)
        with closing(connect(address)) as new:
            new.sendall(GET)
            assert read_all(new).startswith(b"HTTP/1.1 200")
        assert is_closed(silent[0])
        assert follower.recv(1)


def test_a_body_that_is_cut_short_is_answered(address: tuple[str, int]) -> None:
    """A client that cuts its body short still gets a response."""
    with closing(connect(address)) as connection:
        connection.sendall(POST + b"ab")
        connection.shutdown(socket.SHUT_WR)
        answer = read_all(connection)
    assert answer.startswith(b"HTTP/1.1 400")
    assert answer.endswith(b"cut")


def test_a_slow_body_is_complete(address: tuple[str, int]) -> None:
    """A body that arrives late and in parts is complete."""
    with closing(connect(address)) as connection:
        for part in (POST, b"ab", b"cde"):
            connection.sendall(part)
        assert read_all(connection).endswith(b"abcde")


def test_a_follower_that_leaves_is_disconnected(address: tuple[str, int]) -> None:
    """The connection of a follower that leaves is closed."""
    with closing(connect(address)) as connection:
        connection.sendall(b"GET /follow HTTP/1.1\r\nHost: x\r\n\r\n")
        assert connection.recv(1)
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(65536):
            pass


@pytest.mark.parametrize("requests", [0, 1])
def test_an_idle_server_stops_at_once(requests: int) -> None:
    """An idle server stops at once, whether a client has connected or not. It is made at the first connection."""
    made = []

    def config() -> uvicorn.Config:
        made.append(control_config(Starlette(routes=[Route("/echo", echo)])))
        return made[0]

    for _ in range(5):
        made.clear()
        listener = socket.create_server(("127.0.0.1", 0))
        with http_server(config, listener):
            for _ in range(requests):
                with closing(connect(listener.getsockname())) as connection:
                    connection.sendall(b"GET /echo HTTP/1.1\r\nHost: x\r\n\r\n")
                    assert connection.recv(1)
            before = time.monotonic()
        assert time.monotonic() - before < serving.REQUEST_TIMEOUT / 2
        assert len(made) == requests


@pytest.mark.parametrize("address_text", ["8080", ":8080", "localhost:http", "127.0.0.1:99999"])
def test_an_address_has_a_host_and_a_port(address_text: str) -> None:
    """An address without a host or a port is rejected and named."""
    with pytest.raises(ConfigError, match="is not a valid address"):
        public_socket(address_text)


def test_small_responses_are_sent_at_once() -> None:
    """A connection of a public address sends without waiting for the client's acknowledgement."""
    with public_socket(f"127.0.0.1:{free_port()}") as listener, socket.create_connection(listener.getsockname()):
        connection, _ = listener.accept()
        with connection:
            assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_an_address_that_is_taken(address: tuple[str, int]) -> None:
    """An address in use is reported as such."""
    with pytest.raises(ConfigError, match="the address is in use"):
        public_socket(f"127.0.0.1:{address[1]}")
