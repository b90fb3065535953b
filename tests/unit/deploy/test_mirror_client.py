"""The client that sends copies of requests to containers."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler

import pytest

from pipeline.balancer.access import LoggedRequest
from pipeline.balancer.model import Target
from stages.deploy.mirror_client import CopyOutcome, MirrorClient
from tests.support.loopback import LoopbackServer

GET = LoggedRequest("GET", "/a?b=%20", "shop.example.com", "curl/8.5", "192.0.2.7", 8443, True)
LONG = timedelta(seconds=60)


class Handler(BaseHTTPRequestHandler):
    """Answers by the first part of the path: a status, or a way to behave badly."""

    protocol_version = "HTTP/1.1"
    server: Server

    def do_GET(self) -> None:
        self.server.seen.append((self.client_address, self.requestline, self.headers.items()))
        kind = self.path.strip("/").partition("?")[0]
        if kind == "hang":
            self.server.released.wait()
        elif kind == "leave":
            self.close_connection = True
        elif kind == "once":
            self.answer(200, b"once")
            # Without a word to the client, as a server that ends idle connections.
            self.close_connection = True
        elif kind == "endless":
            self.endless()
        elif kind == "nonsense":
            self.wfile.write(b"nonsense\r\n\r\n")
            self.close_connection = True
        else:
            self.answer(int(kind) if kind.isdigit() else 200, b"x" * 70_000)

    def do_HEAD(self) -> None:
        self.do_GET()

    def answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def endless(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(2**40))
        self.end_headers()
        try:
            while True:
                self.wfile.write(b"x" * 65536)
        except OSError:
            self.server.left.set()
            self.close_connection = True

    def log_message(self, *args: object) -> None: ...


class Server(LoopbackServer):
    handler = Handler

    def __init__(self) -> None:
        self.seen: list[tuple[object, str, list[tuple[str, str]]]] = []
        self.left = threading.Event()
        super().__init__("shop.web.r5.0a1b2c")


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    yield made
    made.end()


@pytest.fixture
def client() -> Iterator[MirrorClient]:
    made = MirrorClient(LONG)
    yield made
    made.close()


def get(path: str) -> LoggedRequest:
    return GET._replace(path=path)


def test_a_copy(server: Server, client: MirrorClient) -> None:
    """A copy has the headers of the log, those of the balancer, and the one that marks it. It has no others."""
    outcome = client.send(server.target, GET)
    assert (outcome.status, outcome.is_connected) == (200, True)
    assert outcome.seconds is not None
    ((_, line, headers),) = server.seen
    assert line == "GET /a?b=%20 HTTP/1.1"
    assert headers == [
        ("Host", "shop.example.com"),
        ("User-Agent", "curl/8.5"),
        ("X-Forwarded-For", "192.0.2.7"),
        ("X-Forwarded-Proto", "https"),
        ("X-Forwarded-Port", "8443"),
        ("X-Penstock-Mirror", "1"),
    ]


def test_a_request_without_a_user_agent(server: Server, client: MirrorClient) -> None:
    """The copy has none either."""
    client.send(server.target, GET._replace(user_agent=None, is_secure=False))
    assert [name for name, _ in server.seen[0][2]].count("User-Agent") == 0
    assert ("X-Forwarded-Proto", "http") in server.seen[0][2]


def test_each_status(server: Server, client: MirrorClient) -> None:
    """The status is what the target sent, for GET and for HEAD, all over one connection."""
    found = [client.send(server.target, get(f"/{status}")).status for status in (200, 302, 404, 500, 503)]
    assert found == [200, 302, 404, 500, 503]
    assert client.send(server.target, GET._replace(method="HEAD", path="/500")).status == 500
    assert len({address for address, _, _ in server.seen}) == 1


def test_a_connection_that_was_closed_meanwhile(server: Server, client: MirrorClient) -> None:
    """The copy is sent over a new one, so an idle connection is no error of the release."""
    for _ in range(3):
        assert client.send(server.target, get("/once")).status == 200
    assert len({address for address, _, _ in server.seen}) == 3


@pytest.mark.parametrize("path", ["/leave", "/nonsense"])
def test_no_response(path: str, server: Server, client: MirrorClient) -> None:
    """The target was reached and has not answered. The next copy is not affected."""
    assert client.send(server.target, get(path)) == CopyOutcome()
    assert client.send(server.target, GET).status == 200


def test_no_connection(client: MirrorClient) -> None:
    """Nothing listens there."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        target = Target(id="a", address="127.0.0.1", port=bound.getsockname()[1])
        assert client.send(target, GET) == CopyOutcome(is_connected=False)


def test_a_response_that_does_not_come_in_time(server: Server) -> None:
    """It counts as a response time of the whole timeout."""
    client = MirrorClient(timedelta(milliseconds=100))
    assert client.send(server.target, get("/hang")) == CopyOutcome(seconds=0.1)
    client.close()


def test_a_long_response_is_left(server: Server, client: MirrorClient) -> None:
    """Only its begin is read."""
    assert client.send(server.target, get("/endless")).status == 200
    assert server.left.wait(60)
    assert client.send(server.target, GET).status == 200
