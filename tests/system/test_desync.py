"""Requests that two servers in a chain might read differently are refused, or end their connection."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.waiting import DEADLINE, until
from tests.system.alb import Alb, Echo

_MODES = ("monitor", "defensive", "strictest")
_GET = b"GET / HTTP/1.1\r\nHost: shop.test\r\n"
_POST = b"POST / HTTP/1.1\r\nHost: shop.test\r\n"

# Refused in every mode, because HAProxy cannot parse it unambiguously.
_UNREADABLE = [
    _POST + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
    _POST + b"Content-Length: 5, 6\r\n\r\nhello",
    _POST + b"Content-Length: +5\r\n\r\nhello",
    _POST + b"Content-Length: -1\r\n\r\n",
    _POST + b"Content-Length: 0x5\r\n\r\nhello",
    _POST + b"Content-Length: 18446744073709551616\r\n\r\nhello",
    _POST + b"Content-Length : 5\r\n\r\nhello",
    _POST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    _POST + b"Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
    _POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    _POST + b"Transfer-Encoding\t: chunked\r\n\r\n0\r\n\r\n",
    _POST + b"X: a\x00b\r\n\r\n",
    b"GET / HTTP/1.1 \r\nHost: shop.test\r\n\r\n",
    b"GET / HTTP/x.1\r\nHost: shop.test\r\n\r\n",
    b"GET /a b HTTP/1.1\r\nHost: shop.test\r\n\r\n",
    b"G\x01T / HTTP/1.1\r\nHost: shop.test\r\n\r\n",
    _GET + b"no colon\r\n\r\n",
]
# Severe, but HAProxy could read it: a folded header that another server may take for the one that frames the body.
_FOLDED = _POST + b"Content-Length: 5\r\nX: a\r\n Content-Length: 0\r\n\r\nhello"
_AMBIGUOUS = [
    (_GET + b"Content-Length: 5\r\n\r\nhello", "Ambiguous:UndefinedContentLengthSemantics"),
    (_GET + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "Ambiguous:UndefinedTransferEncodingSemantics"),
    (_GET + b"Transfer_Encoding: chunked\r\n\r\n", "Ambiguous:SuspiciousHeader"),
    (_POST + b"Content.Length: 3\r\n\r\n", "Ambiguous:SuspiciousHeader"),
]
_ACCEPTABLE = [(_GET + b"Content-Length: 0\r\n\r\n", "Acceptable:GetHeadZeroContentLength")]
_COMPLIANT = [
    _GET + b"\r\n",
    _POST + b"Content-Length: 5\r\n\r\nhello",
    _POST + b"Content-Length: 0\r\n\r\n",
    _POST + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    _GET + b"X-Content-Length: 5\r\nX-Transfer-Encoding: chunked\r\n\r\n",
    _GET + b"Cookie: transfer_encoding=1\r\nTe: trailers\r\n\r\n",
]


class Modes:
    """A load balancer for each mode, before one server."""

    def __init__(self, directory: Path) -> None:
        self.albs = {mode: Alb(directory / mode) for mode in _MODES}
        self.servers: dict[str, Echo] = {}
        for mode, alb in self.albs.items():
            attributes = {"routing.http.desync_mitigation_mode": mode}
            alb.declare({"default_action": {"forward": "web"}}, attributes=attributes)
            (self.servers[mode],) = alb.serve("a")

    def send(self, mode: str, request: bytes) -> tuple[int, bool, int]:
        """Return the status, whether the connection was closed, and the number of requests that reached the server."""
        before = self.servers[mode].requests
        with socket.create_connection(("127.0.0.1", self.albs[mode].port), timeout=DEADLINE) as connection:
            connection.sendall(request)
            answer = _read(connection)
            # A connection that is still open gets another response.
            closed = b"connection: close" in answer.lower() or not _again(connection)
        reached = self.servers[mode].requests - before
        return int(answer.split(b" ", 2)[1]), closed, reached if closed else reached - 1

    def await_classified(self, mode: str, reason: str) -> None:
        """Wait until the last line of the access log has this classification."""
        log = self.albs[mode].balancer.directory / "access.log"
        until(lambda: log.read_text().endswith(f"\t{reason}\n"), f"the log says {reason}")


def _read(connection: socket.socket) -> bytes:
    """Read one response."""
    answer = b""
    while b"\r\n\r\n" not in answer:
        part = connection.recv(65536)
        assert part, answer
        answer += part
    head, _, body = answer.partition(b"\r\n\r\n")
    length = re.search(rb"content-length: (\d+)", head.lower())
    while length and len(body) < int(length[1]):
        body += connection.recv(65536)
    return answer


def _again(connection: socket.socket) -> bool:
    try:
        connection.sendall(_GET + b"\r\n")
        return connection.recv(65536).startswith(b"HTTP/1.1 200")
    except OSError:
        return False


@pytest.fixture(scope="module")
def modes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Modes]:
    modes = Modes(tmp_path_factory.mktemp("desync"))
    yield modes
    for alb in modes.albs.values():
        alb.end()


@pytest.mark.parametrize("mode", _MODES)
@pytest.mark.parametrize("request_", _UNREADABLE, ids=lambda request: ascii(request.split(b"\r\n", 2)[-1][:40]))
def test_unreadable(modes: Modes, mode: str, request_: bytes) -> None:
    """Every mode refuses it with 400, closes the connection and sends nothing on."""
    assert modes.send(mode, request_) == (400, True, 0)


@pytest.mark.parametrize("mode", ["defensive", "strictest"])
def test_severe(modes: Modes, mode: str) -> None:
    """A Severe request is refused even if it is only possibly misread."""
    assert modes.send(mode, _FOLDED) == (400, True, 0)
    modes.await_classified(mode, "Severe:BadHeader")


@pytest.mark.parametrize(("request_", "reason"), _AMBIGUOUS, ids=[f"{n}" for n, _ in enumerate(_AMBIGUOUS)])
def test_ambiguous(modes: Modes, request_: bytes, reason: str) -> None:
    """defensive closes both connections after it, strictest refuses it, and monitor only logs it."""
    assert modes.send("defensive", request_) == (200, True, 1)
    modes.await_classified("defensive", reason)
    assert modes.send("strictest", request_) == (400, True, 0)
    assert modes.send("monitor", request_)[0::2] == (200, 1)


@pytest.mark.parametrize(("request_", "reason"), _ACCEPTABLE)
def test_acceptable(modes: Modes, request_: bytes, reason: str) -> None:
    """Only strictest refuses an Acceptable request."""
    assert modes.send("strictest", request_) == (400, True, 0)
    modes.await_classified("strictest", reason)
    assert modes.send("defensive", request_) == (200, False, 1)


@pytest.mark.parametrize("mode", _MODES)
@pytest.mark.parametrize("request_", _COMPLIANT, ids=lambda request: ascii(request.split(b"\r\n", 2)[-1][:40]))
def test_compliant(modes: Modes, mode: str, request_: bytes) -> None:
    """A Compliant request passes in every mode, and its connection is reused."""
    assert modes.send(mode, request_) == (200, False, 1)


def test_one_meaning(modes: Modes) -> None:
    """The encoding counts if there is a length too, and both connections are closed."""
    both = _POST + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
    assert modes.send("defensive", both) == (200, True, 1)
