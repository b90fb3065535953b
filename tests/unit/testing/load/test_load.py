"""The load generator against faulty servers: it reports every failure."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import pytest

from pipeline.base.errors import SystemFault
from pipeline.testing.load.load import Load
from pipeline.testing.load.profile import LoadProfile
from tests.support.waiting import DEADLINE, until

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-App-Version: 7\r\n\r\nok"
ECHO_HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n"

Answer = Callable[[int, bytes], bytes | None]


@contextmanager
def server(answer: Answer) -> Iterator[int]:
    """Run a server that responds with `answer(number, request)`. None closes the connection."""
    counter, lock = iter(range(10**6)), threading.Lock()
    listening = socket.create_server(("127.0.0.1", 0), backlog=256)

    def serve(connection: socket.socket) -> None:
        with connection, suppress(OSError):
            while request := connection.recv(65536):
                with lock:
                    number = next(counter)
                response = answer(number, request)
                if response is None:
                    return
                connection.sendall(response)

    def accept() -> None:
        with suppress(OSError):
            while True:
                threading.Thread(target=serve, args=(listening.accept()[0],), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    yield int(listening.getsockname()[1])
    listening.shutdown(socket.SHUT_RDWR)
    listening.close()


def run(port: int, requests: int = 60, **profile: float) -> Load:
    load = Load.start(LoadProfile(f"http://127.0.0.1:{port}/", rate=300, **profile))  # type: ignore[arg-type]
    until(lambda: load.report().sent >= requests, "the requests are sent")
    return load


def good(number: int, request: bytes) -> bytes:
    body = request.partition(b"\r\n\r\n")[2]
    return ECHO_HEAD % len(body) + body if body else OK


def test_a_good_server_fails_nothing() -> None:
    """A good server fails no request, and the shares of POSTs and new connections are as requested."""
    seen: list[bytes] = []

    def answer(number: int, request: bytes) -> bytes:
        seen.append(request)
        return good(number, request)

    with server(answer) as port:
        report = run(port, requests=300, posts=0.3, fresh=0.2).stop()
    assert report.failed == 0
    assert len(seen) == report.sent
    assert 0.25 < sum(r.startswith(b"POST /echo ") for r in seen) / len(seen) < 0.35
    assert 0.15 < sum(b"Connection: close" in r for r in seen) / len(seen) < 0.25
    assert report.phases[-1].versions["7"] > 0


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n", "status 503"),
        (None, "the connection was closed without a response"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf", "no response within 5 s"),
    ],
)
def test_every_bad_answer_is_counted(bad: bytes | None, reason: str) -> None:
    """Exactly the requests with a bad response fail, each with its reason."""
    given = []

    def answer(number: int, request: bytes) -> bytes | None:
        if number % 10 != 9:
            return good(number, request)
        given.append(number)
        return bad

    with server(answer) as port:
        # Long enough that no good response is late.
        report = run(port, timeout=5).stop()
    assert report.failed == len(given) > 3
    assert {failure.reason for failure in report.failures} == {reason}


def test_a_post_whose_body_changed_has_failed() -> None:
    """A POST fails if its response has the body of another request."""
    with server(lambda number, request: OK) as port:
        report = run(port, posts=0.5).stop()
    assert {(f.method, f.reason) for f in report.failures} == {
        ("POST", "the body differs from the one that was sent: b'ok'")
    }


def test_a_pause_is_seen_as_a_gap_and_as_latency() -> None:
    """A pause of the server is a gap and raises latencies, because the rate stays constant."""
    pause = threading.Event()

    def answer(number: int, request: bytes) -> bytes:
        if number >= 60:
            pause.wait(DEADLINE)
        return good(number, request)

    with server(answer) as port:
        load = run(port, requests=360)
        pause.set()
        report = load.stop()
    assert report.failed == 0
    assert report.sent >= 200
    assert report.longest_gap > 300
    assert report.p99 > 300


def test_a_service_without_a_response() -> None:
    """A load without any response raises `SystemFault` after its deadline."""
    with socket.create_server(("127.0.0.1", 0)) as unheard:
        port = unheard.getsockname()[1]
    with pytest.raises(SystemFault, match=f"http://127.0.0.1:{port}/ does not respond: connect: "):
        Load.start(LoadProfile(f"http://127.0.0.1:{port}/", rate=50))


def test_a_query_string_is_sent() -> None:
    """A GET requests the whole URL, and the path alone is the same without one."""
    assert LoadProfile("http://127.0.0.1:80/slow?ms=3000", 1, posts=0).request(0).startswith(b"GET /slow?ms=3000 HTTP")
    assert LoadProfile("http://127.0.0.1:80", 1, posts=0).request(0).startswith(b"GET / HTTP")
