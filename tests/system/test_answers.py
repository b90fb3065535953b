"""What the balancer answers by itself, and when: ELB's codes, their pages, and their lines in the access log."""

from __future__ import annotations

import http.client
import os
import re
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import pytest

from pipeline.balancer.haproxy.access_log import LogReader
from pipeline.balancer.haproxy.log_format import FIELDS
from pipeline.balancer.model import Declaration, Target
from tests.support.ports import free_port
from tests.support.waiting import until
from tests.system.alb import CHECK, OWNER, Alb

# Of this process alone: on 127.0.0.1, a port that was free may be that of anybody's connection a moment later.
_ADDRESS = f"127.{os.getpid() // 65536 % 200 + 1}.{os.getpid() // 256 % 256}.{os.getpid() % 254 + 1}"
# Checked by connecting only, because these targets answer nonsense; and rarely, so that they stay in service.
_TCP = {"protocol": "TCP", "interval": "5s", "timeout": "1s"}
_GROUPS: Mapping[str, Mapping[str, Any]] = {
    "web": {"health_check": CHECK},
    "rogue": {"health_check": _TCP},
    "gone": {"health_check": _TCP},
    "empty": {},
    "http2": {"protocol_version": "HTTP2", "health_check": _TCP},
    "grpc": {"protocol_version": "GRPC", "health_check": _TCP},
}
_IDLE = 1


class Rogue:
    """A target that answers what the path says, byte by byte as it stands here, and closes the connection."""

    answers: Mapping[str, bytes] = {
        "/nothing": b"",
        "/garbage": b"\x00\x01 this is no HTTP\r\n\r\n",
        "/half-head": b"HTTP/1.1 200 OK\r\nContent-Le",
        "/no-version": b"200 OK\r\n\r\n",
        "/bad-header": b"HTTP/1.1 200 OK\r\nA B: c\r\nContent-Length: 0\r\n\r\n",
        "/two-lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        "/large-head": b"HTTP/1.1 200 OK\r\nA: " + b"a" * 200_000 + b"\r\nContent-Length: 0\r\n\r\n",
        "/half-body": b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf",
        "/own-503": b"HTTP/1.1 503 Mine\r\nServer: rogue\r\nContent-Length: 4\r\n\r\nmine",
    }

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.ended = threading.Event()
        self.asked: list[str] = []
        threading.Thread(target=self._serve, daemon=True).start()

    @property
    def target(self) -> Target:
        return Target(id="rogue", address="127.0.0.1", port=self._listener.getsockname()[1])

    def _serve(self) -> None:
        while not self.ended.is_set():
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection: socket.socket) -> None:
        with suppress(OSError), connection, connection.makefile("rb") as lines:
            while line := lines.readline():
                path = line.split()[1].decode()
                self.asked.append(path)
                while lines.readline() not in (b"\r\n", b""):
                    pass
                if path == "/silent":
                    self.ended.wait(20)
                if path != "/kept":
                    connection.sendall(self.answers.get(path, b""))
                    return
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nkept")

    def end(self) -> None:
        self.ended.set()
        self._listener.close()


@dataclass(frozen=True)
class Said:
    """What came back on the connection: all of it, whether it was HTTP or not."""

    raw: bytes

    @property
    def status(self) -> int:
        found = re.match(rb"HTTP/1\.1 (\d{3}) ", self.raw)
        return int(found[1]) if found else 0

    @property
    def head(self) -> str:
        return self.raw.partition(b"\r\n\r\n")[0].decode().lower()

    @property
    def body(self) -> str:
        return self.raw.partition(b"\r\n\r\n")[2].decode()


class Edge:
    """A listener for each group, and the access log."""

    def __init__(self, alb: Alb, rogue: Rogue) -> None:
        self.alb = alb
        self.rogue = rogue
        self.ports = {name: free_port() for name in _GROUPS}

    def connect(self, group: str) -> socket.socket:
        """A connection to the listener of a group."""
        return socket.create_connection((_ADDRESS, self.ports[group]), timeout=10)

    def say(self, sent: bytes | str, group: str = "web") -> Said:
        """Send bytes, and read until the connection is closed."""
        with self.connect(group) as connection:
            connection.sendall(sent.encode("latin1") if isinstance(sent, str) else sent)
            try:
                return Said(b"".join(iter(lambda: connection.recv(65536), b"")))
            except ConnectionResetError:
                return Said(b"")

    def logged(self, after: Callable[[], object]) -> dict[str, str]:
        """The line that the access log has after something was done."""
        log = self.alb.balancer.directory / "access.log"
        before = log.stat().st_size
        after()
        found = until(lambda: log.read_bytes()[before:].partition(b"\n")[0], "the line is written").decode()
        return dict(zip(FIELDS, found.split("\t"), strict=True))


@pytest.fixture(scope="module")
def edge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edge]:
    alb, rogue = Alb(tmp_path_factory.mktemp("answers") / "balancer"), Rogue()
    edge = Edge(alb, rogue)
    listeners = [{"port": port, "default_action": {"forward": name}} for name, port in edge.ports.items()]
    balancer = {"address": _ADDRESS, "listeners": listeners, "attributes": {"idle_timeout.timeout_seconds": _IDLE}}
    groups: dict[str, Any] = {name: {"port": 80, **group} for name, group in _GROUPS.items()}
    declaration = Declaration.model_validate({"target_groups": groups, "load_balancers": {"edge": balancer}})
    try:
        alb.balancer.apply(OWNER, declaration)
        alb.serve("a")
        _register(alb, rogue)
        yield edge
    finally:
        rogue.end()
        alb.end()
        alb.balancer.withdraw(OWNER)


def _register(alb: Alb, rogue: Rogue) -> None:
    """The rogue in every group; in one, a target whose server ends as soon as it is in service."""
    for group in ("rogue", "http2", "grpc"):
        alb.balancer.register(OWNER, group, rogue.target)
    with socket.create_server(("127.0.0.1", 0)) as gone:
        alb.balancer.register(OWNER, "gone", Target(id="gone", address="127.0.0.1", port=gone.getsockname()[1]))
        for group in ("rogue", "http2", "grpc", "gone"):
            until(lambda group=group: {str(state) for _, state in alb.states(group)} == {"healthy"}, f"{group} is up")  # type: ignore[misc]


def get(*headers: str, path: str = "/", method: str = "GET", version: str = "HTTP/1.1") -> str:
    return "\r\n".join([f"{method} {path} {version}", "Host: shop.test", *headers, "Connection: close", "", ""])


_XFF = "X-Forwarded-For: " + ", ".join(f"10.0.0.{number}" for number in range(31))
_GRPC = "Content-Type: application/grpc+proto"


@dataclass(frozen=True)
class Case:
    """A request, where it goes, and what is answered; `end` is how HAProxy names the end of it in the log."""

    name: str
    status: int
    end: str
    sent: str
    group: str = "web"


# What HAProxy answers before there is a request, in its own words.
UNREAD = [
    Case("no HTTP", 400, "PR", "\x16\x03\x01 hello\r\n\r\n"),
    Case("no version", 400, "PR", "GET /\r\n\r\n"),
    Case("another protocol", 400, "PR", get(version="FTP/1.1")),
    Case("a space in the path", 400, "PR", get(path="/a b")),
    Case("a space in a header's name", 400, "PR", get("A B: c")),
    Case("a header without a colon", 400, "PR", get("header")),
    Case("a control character", 400, "PR", get("A: b\0c")),
    Case("two lengths", 400, "PR", get("Content-Length: 1", "Content-Length: 2")),
    Case("a length that is none", 400, "PR", get("Content-Length: -1")),
    Case("two hosts", 400, "PR", get("Host: other.test")),
    Case("too much of a head", 400, "PR", get(*[f"A: {'a' * 10000}"] * 12)),
    # ELB says 501 to these two.
    Case("another encoding", 400, "PR", get("Transfer-Encoding: gzip", method="POST")),
    Case("another encoding inside", 422, "PR", get("Transfer-Encoding: gzip, chunked", method="POST") + "0\r\n\r\n"),
    Case("a head that stops", 408, "cR", "GET / HTTP/1.1\r\nHost: x\r\n"),
]
OURS = [
    Case("TRACE", 405, "LR", get(method="TRACE")),
    Case("too many forwarders", 463, "LR", get(_XFF)),
    Case("too many forwarders in lines", 463, "LR", get(*["X-Forwarded-For: 10.0.0.1, 10.0.0.2"] * 16)),
    Case("a version to come", 505, "LR", get(version="HTTP/3.0")),
    Case("a version that begins otherwise", 505, "LR", get(version="HTTP/2.0")),
    Case("a body that stops", 408, "cR", get("Content-Length: 9", method="PUT") + "abc"),
    Case("gRPC for HTTP/1 targets", 464, "LR", get(_GRPC, method="POST")),
    Case("HTTP/1 for HTTP/2 targets", 464, "LR", get(), "http2"),
    Case("HTTP/1 for gRPC targets", 464, "LR", get(method="POST"), "grpc"),
    Case("nothing", 502, "SH", get(path="/nothing", method="POST"), "rogue"),
    Case("garbage", 502, "PH", get(path="/garbage"), "rogue"),
    Case("half a head", 502, "PH", get(path="/half-head"), "rogue"),
    Case("a head without a version", 502, "PH", get(path="/no-version"), "rogue"),
    Case("a bad header", 502, "PH", get(path="/bad-header"), "rogue"),
    Case("two lengths in an answer", 502, "PH", get(path="/two-lengths"), "rogue"),
    Case("too much of an answer's head", 502, "PH", get(path="/large-head"), "rogue"),
    Case("nobody there", 502, "SC", get(), "gone"),
    Case("no target", 503, "SC", get(), "empty"),
    Case("a silent target", 504, "sH", get(path="/silent"), "rogue"),
]
REASONS = {405: "Method Not Allowed", 408: "Request Timeout", 463: "Too Many Forwarders", 502: "Bad Gateway"}
REASONS |= {464: "Protocol Version Mismatch", 503: "Service Unavailable", 504: "Gateway Timeout"}
REASONS |= {400: "Bad Request", 505: "HTTP Version Not Supported"}


def _check(edge: Edge, case: Case) -> Said:
    """The answer and the line of the log."""
    answers: list[Said] = []
    line = edge.logged(lambda: answers.append(edge.say(case.sent, case.group)))
    assert (answers[0].status, line["status"], line["termination"][:2]) == (case.status, str(case.status), case.end)
    assert line["target_status"] == "-"
    return answers[0]


@pytest.mark.parametrize("case", UNREAD, ids=[case.name for case in UNREAD])
def test_what_is_no_request(edge: Edge, case: Case) -> None:
    """It is answered with a code, logged, and its connection closed. No target hears of it."""
    requests = edge.alb.servers[0].requests
    assert "<h1>" in _check(edge, case).body
    assert edge.alb.servers[0].requests == requests


@pytest.mark.parametrize("case", OURS, ids=[case.name for case in OURS])
def test_answers_of_our_own(edge: Edge, case: Case) -> None:
    """They have the code, a page in ELB's form, the Server header, and a line in the log."""
    answer = _check(edge, case)
    title = f"{case.status} {REASONS[case.status]}"
    assert answer.body == (
        f"<html>\r\n<head><title>{title}</title></head>\r\n<body>\r\n<center><h1>{title}</h1></center>\r\n"
        "</body>\r\n</html>\r\n"
    )
    assert {"server: penstock", "content-type: text/html", f"content-length: {len(answer.body)}"} <= set(
        answer.head.splitlines()
    )
    assert answer.head.count("server:") == answer.head.count("connection: close") == 1


# Here, a target's answer has already been passed on, or is passed on as it is.
PASSED_ON = [
    Case("half a body", 200, "SD", get(path="/half-body"), "rogue"),
    Case("a target's own 503", 503, "--", get(path="/own-503"), "rogue"),
]


@pytest.mark.parametrize(("case", "body"), list(zip(PASSED_ON, ["half", "mine"], strict=True)))
def test_what_a_target_has_said_stays(edge: Edge, case: Case, body: str) -> None:
    """What breaks off breaks off for the client too; a 503 of a target's own is none of ours."""
    answers: list[Said] = []
    line = edge.logged(lambda: answers.append(edge.say(case.sent, case.group)))
    assert (answers[0].status, answers[0].body) == (case.status, body)
    assert (line["status"], line["target_status"], line["termination"][:2]) == (*[str(case.status)] * 2, case.end)


def test_a_client_that_leaves(edge: Edge) -> None:
    """One that is gone before its answer is logged as 460, at once."""

    def leave() -> None:
        asked = len(edge.rogue.asked)
        with edge.connect("rogue") as connection:
            connection.sendall(get(path="/silent").encode())
            until(lambda: len(edge.rogue.asked) > asked, "it is asked")

    (record,) = LogReader().records(["\t".join(edge.logged(leave).values()).encode()])
    assert record.elb_status == 460


LIMITS = [
    Case("a long URI that is taken", 200, "--", get(path="/" + "a" * 14_000)),
    Case("a URI that is too long", 400, "PR", get(path="/" + "a" * 16_400)),
    Case("a large head that is taken", 200, "--", get(*[f"A: {'a' * 1_000}"] * 14)),
    Case("a head that is too large", 400, "PR", get(*[f"A: {'a' * 1_000}"] * 16)),
    Case("many headers that are taken", 200, "--", get(*["A: a"] * 90)),
]


@pytest.mark.parametrize("case", LIMITS, ids=[case.name for case in LIMITS])
def test_limits(edge: Edge, case: Case) -> None:
    """The head of a request may have 15 KB, what is in it included."""
    answers: list[Said] = []
    line = edge.logged(lambda: answers.append(edge.say(case.sent, case.group)))
    assert (answers[0].status, line["termination"][:2]) == (case.status, case.end)


def test_a_refused_request_costs_no_connection(edge: Edge) -> None:
    """After an answer of our own to a request that was whole, the client may go on."""
    with edge.connect("web") as connection:
        for method, expected in (("TRACE", 405), ("GET", 200), ("TRACE", 405)):
            connection.sendall(f"{method} / HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            answer = http.client.HTTPResponse(connection, method=method)
            answer.begin()
            answer.read()
            assert answer.status == expected


def test_a_connection_to_a_target_that_dies_under_a_post(edge: Edge) -> None:
    """On a client's second request HAProxy says nothing and closes; there is no line of it either. ELB says 502."""
    log = edge.alb.balancer.directory / "access.log"
    with edge.connect("rogue") as connection:
        for path in ("/kept", "/nothing"):
            connection.sendall(f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n".encode())
            if path == "/kept":
                until(lambda: connection.recv(65536, socket.MSG_PEEK).endswith(b"kept"), "it is answered")
                connection.recv(65536)
        assert connection.recv(65536) == b""
    edge.logged(lambda: edge.say(get(path="/after")))
    assert [line.split("\t")[list(FIELDS).index("uri")] for line in log.read_text().splitlines()[-2:]] == [
        "/kept",
        "/after",
    ]


def _field(name: str, value: str) -> bytes:
    """A header in the form of HPACK that needs no table."""
    return b"\x00" + bytes([len(name)]) + name.encode() + bytes([len(value)]) + value.encode()


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


def _http2_request(method: str, *headers: tuple[str, str]) -> bytes:
    fields = [(":method", method), (":scheme", "http"), (":authority", "shop.test"), (":path", "/"), *headers]
    preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + _frame(4, 0, 0, b"")
    return preface + _frame(1, 5, 1, b"".join(_field(*field) for field in fields))


def _peek(connection: socket.socket) -> bytes:
    """What has come so far."""
    try:
        return connection.recv(65536, socket.MSG_PEEK | socket.MSG_DONTWAIT)
    except BlockingIOError:
        return b""


@pytest.mark.parametrize(
    ("group", "method", "refused"),
    [("grpc", "GET", True), ("grpc", "POST", False), ("http2", "GET", False), ("web", "POST", True)],
)
def test_protocol_versions(edge: Edge, group: str, method: str, refused: bool) -> None:
    """gRPC by HTTP/2 and POST is for gRPC targets; HTTP/2 is for HTTP/2 targets; other pairs are refused with 464."""
    asked = len(edge.rogue.asked)
    with edge.connect(group) as connection:
        connection.sendall(_http2_request(method, ("content-type", "application/grpc")))
        # The target here does not speak it; that it is asked is enough.
        until(lambda: b"<h1>" in _peek(connection) or len(edge.rogue.asked) > asked, "it is refused or let through")
        assert (b"<h1>464 Protocol Version Mismatch</h1>" in _peek(connection)) == refused
    assert (len(edge.rogue.asked) == asked) == refused
