"""Bodies that arrive slowly: a client is idle only while it sends nothing."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import suppress

import pytest

from pipeline.balancer.model import TargetState
from tests.support.waiting import DEADLINE, until
from tests.system.alb import OWNER, Alb
from tests.system.servers import RawServer

_PAUSE = 0.4
_IDLE = 1
_KEY = "Idempotency-Key: k\r\n"


class Recorder(RawServer):
    """A target that keeps each byte that it gets, and answers when the body's end has come."""

    def __init__(self) -> None:
        self.received = b""
        super().__init__("recorder")

    def _talk(self, raw: socket.socket) -> None:
        with suppress(OSError), raw:
            while not self.received.endswith(b"END") and b"END\r\n0\r\n\r\n" not in self.received:
                part = raw.recv(65536)
                if not part:
                    return
                self.received += part
            raw.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")


@pytest.fixture
def recorder(alb: Alb) -> Iterator[Recorder]:
    """The only target of a load balancer with a short idle timeout."""
    recorder = Recorder()
    alb.declare(
        {"default_action": {"forward": "web"}},
        groups={"web": {"health_check": {"protocol": "TCP", "interval": "100ms"}}},
        attributes={"idle_timeout.timeout_seconds": _IDLE},
    )
    alb.balancer.register(OWNER, "web", recorder.target)
    until(lambda: dict(alb.states())["recorder"] is TargetState.HEALTHY, "it is healthy")
    recorder.received = b""
    yield recorder
    recorder.end()


def _pause(connection: socket.socket) -> None:
    """Stay silent for a while, in which no answer comes."""
    connection.settimeout(_PAUSE)
    with pytest.raises(TimeoutError):
        connection.recv(1)
    connection.settimeout(DEADLINE)


@pytest.mark.parametrize(("method", "header"), [("PUT", ""), ("DELETE", ""), ("POST", ""), ("POST", _KEY)])
@pytest.mark.parametrize("size", [12, 40_000], ids=["small", "large"])
def test_a_body_may_trickle(alb: Alb, recorder: Recorder, method: str, header: str, size: int) -> None:
    """A body that takes longer than the idle timeout arrives, if no pause is that long."""
    with socket.create_connection(("127.0.0.1", alb.port), timeout=DEADLINE) as connection:
        head = f"{method} / HTTP/1.1\r\nHost: shop.test\r\n{header}Content-Length: {size}\r\n\r\n"
        connection.sendall(head.encode())
        part = b"x" * (size // 12)
        sent = 0
        for _ in range(6):
            connection.sendall(part)
            sent += len(part)
            _pause(connection)
        connection.sendall(b"x" * (size - sent - 3) + b"END")
        assert connection.recv(65536).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize(("method", "header"), [("PUT", ""), ("POST", _KEY)])
def test_a_silent_client_is_idle(alb: Alb, recorder: Recorder, method: str, header: str) -> None:
    """A client that stops in its body gets 408 after the idle timeout."""
    with socket.create_connection(("127.0.0.1", alb.port), timeout=DEADLINE) as connection:
        head = f"{method} / HTTP/1.1\r\nHost: shop.test\r\n{header}Content-Length: 12\r\n\r\nhalf"
        connection.sendall(head.encode())
        assert connection.recv(65536).startswith(b"HTTP/1.1 408")


@pytest.mark.parametrize("line", [b"0000000003\r\n", b"3;extension=1\r\n", b"0\r\nA: trailer\r\n"])
@pytest.mark.parametrize("before", [b"", b"3\r\none\r\n"], ids=["first", "later"])
def test_a_part_of_a_chunk_line_does_not_count(alb: Alb, recorder: Recorder, before: bytes, line: bytes) -> None:
    """HAProxy reports only data as activity, so the line before a chunk must arrive within the idle timeout."""
    with socket.create_connection(("127.0.0.1", alb.port), timeout=0.3) as connection:
        head = b"PUT / HTTP/1.1\r\nHost: shop.test\r\nTransfer-Encoding: chunked\r\n\r\n"
        connection.sendall(head + before)
        answer = b""
        for number in range(len(line)):
            connection.sendall(line[number : number + 1])
            with suppress(TimeoutError):
                answer = connection.recv(65536)
                break
        assert answer.startswith(b"HTTP/1.1 400")


@pytest.mark.parametrize(("method", "header"), [("PUT", ""), ("POST", _KEY), ("POST", "")])
def test_a_chunked_body_streams(alb: Alb, recorder: Recorder, method: str, header: str) -> None:
    """The target gets each chunk when it arrives, not at the end."""
    with socket.create_connection(("127.0.0.1", alb.port), timeout=DEADLINE) as connection:
        head = f"{method} / HTTP/1.1\r\nHost: shop.test\r\n{header}Transfer-Encoding: chunked\r\n\r\n"
        connection.sendall(head.encode())
        for text in (b"one", b"two", b"six"):
            connection.sendall(b"3\r\n" + text + b"\r\n")
            until(lambda text=text: text in recorder.received, "the chunk is there")  # type: ignore[misc]
        connection.sendall(b"3\r\nEND\r\n0\r\n\r\n")
        assert connection.recv(65536).startswith(b"HTTP/1.1 200")
