"""Connections to targets: which requests share them, and that none is lost when a target closes an idle one."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import suppress
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest

from pipeline.balancer.model import Target, TargetState
from tests.support.loopback import LoopbackServer
from tests.support.waiting import until
from tests.system.alb import CHECK, OWNER, Alb, Answer

_KEY = ("Idempotency-Key", "k")
_CHUNKED = ("Transfer-Encoding", "chunked")
# Targets close a connection after this time without a request, in seconds.
_IDLE = 1.0


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Counting

    def handle_any(self) -> None:
        if self.headers["User-Agent"] == "ELB-HealthChecker/2.0":
            self.answer(self.server.health)
            return
        if self.headers["Transfer-Encoding"]:
            while int(self.rfile.readline(), 16):
                self.rfile.readline()
            self.rfile.readline()
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.used.append(self.client_address[1])
        self.answer(200)

    do_GET = do_HEAD = do_OPTIONS = do_POST = do_PUT = do_DELETE = do_PATCH = handle_any  # noqa: N815

    def answer(self, status: int) -> None:
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *args: object) -> None: ...


class Counting(LoopbackServer):
    """A target that records the connection of each request, by the port of the other side."""

    handler = _Handler

    def __init__(self, name: str) -> None:
        self.used: list[int] = []
        super().__init__(name)


@pytest.fixture
def targets() -> Iterator[list[Counting]]:
    """The targets of a test, which end with it."""
    found: list[Counting] = []
    yield found
    for target in found:
        target.end()


def serve(alb: Alb, targets: list[Counting], count: int, **group: Any) -> None:
    """Serve with so many healthy targets."""
    alb.declare({"default_action": {"forward": "web"}}, groups={"web": group})
    targets += [Counting(f"t{number}") for number in range(count)]
    alb.balancer.register(OWNER, "web", *(target.target for target in targets))
    healthy = {target.name: TargetState.HEALTHY for target in targets}
    until(lambda: alb.states() >= healthy.items(), "all are healthy")


def is_shared(alb: Alb, targets: list[Counting], method: str, *headers: tuple[str, str], body: bytes = b"") -> bool:
    """Return whether some of 30 requests, each of a new client, used a connection of another one."""
    for target in targets:
        target.used.clear()
    for _ in range(30):
        assert ask(alb, method, *headers, body=body).status == 200
    used = [(target.name, port) for target in targets for port in target.used]
    assert len(used) == 30
    return len(set(used)) < 30


def ask(alb: Alb, method: str, *headers: tuple[str, str], body: bytes = b"") -> Answer:
    if _CHUNKED in headers:
        return alb.ask("/", method, *headers, raw=b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body))
    return alb.ask("/", method, *headers, body=body or None)


@pytest.mark.parametrize(
    ("method", "headers", "size", "shared"),
    [
        ("GET", (), 0, True),
        ("HEAD", (), 0, True),
        ("OPTIONS", (), 0, True),
        ("DELETE", (), 0, True),
        ("PUT", (), 100, True),
        ("POST", (_KEY,), 100, True),
        ("POST", (_KEY,), 0, True),
        ("POST", (), 100, False),
        ("POST", (), 0, False),
        ("PATCH", (), 100, False),
        # What HAProxy cannot keep to send it again.
        ("GET", (), 100, False),
        ("PUT", (), 20000, False),
        ("POST", (_KEY,), 20000, False),
        ("PUT", (_CHUNKED,), 100, False),
    ],
)
def test_requests_that_share(
    alb: Alb, targets: list[Counting], method: str, headers: tuple[tuple[str, str], ...], size: int, shared: bool
) -> None:
    """Only a request that HAProxy can send again uses another client's connection."""
    serve(alb, targets, 3)
    assert is_shared(alb, targets, method, *headers, body=b"x" * size) is shared


@pytest.mark.parametrize(
    ("count", "attributes", "shared"),
    [
        # With one target, it could meet another connection that is being closed.
        (1, {}, False),
        # With two targets, no request is sent to a second one.
        (2, {}, False),
        (3, {}, True),
        (3, {"retry.minimum_healthy_targets.count": 4}, False),
        (2, {"retry.minimum_healthy_targets.count": 2}, True),
        (3, {"retry.enabled": False}, False),
        (3, {"load_balancing.algorithm.type": "weighted_random"}, True),
        (3, {"load_balancing.algorithm.type": "least_outstanding_requests"}, False),
        (3, {"slow_start.duration_seconds": 30}, False),
        (3, {"stickiness.enabled": True}, False),
    ],
)
def test_groups_that_share(
    alb: Alb, targets: list[Counting], count: int, attributes: Mapping[str, Any], shared: bool
) -> None:
    """Connections are shared only where HAProxy would send the request again, and keeps no state about the group."""
    serve(alb, targets, count, attributes=attributes)
    assert is_shared(alb, targets, "GET") is shared


def test_an_unhealthy_target_gets_nothing(alb: Alb, targets: list[Counting]) -> None:
    """A target that fails its checks gets no request, also while others are admitted and leave."""
    serve(alb, targets, 4)
    sick, leaving = targets[0], targets[3]
    sick.health = 503
    until(lambda: dict(alb.states())[sick.name] is TargetState.UNHEALTHY, "it is unhealthy")
    alb.balancer.deregister(OWNER, "web", leaving.name)
    is_shared(alb, targets, "GET")
    assert (sick.used, leaving.used) == ([], [])
    assert all(target.used for target in targets[1:3])
    sick.health = 200
    until(lambda: dict(alb.states())[sick.name] is TargetState.HEALTHY, "it is healthy again")
    assert is_shared(alb, targets[:3], "GET")
    assert sick.used


def test_targets_that_all_fail(alb: Alb, targets: list[Counting]) -> None:
    """A group whose targets all fail sends requests to all of them, shared or not."""
    serve(alb, targets, 3)
    for target in targets:
        target.health = 503
    until(lambda: set(dict(alb.states()).values()) == {TargetState.UNHEALTHY}, "all are unhealthy")
    for method in ("GET", "POST"):
        is_shared(alb, targets, method)
        assert all(target.used for target in targets)


class _Impatient:
    """Targets that close a connection after `_IDLE` seconds without a request, and clients that come just then."""

    def __init__(self, alb: Alb, method: str, *, kept: bool) -> None:
        self._port = alb.port
        self._request = f"{method} / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n".encode()
        self._kept = kept
        self.found: Counter[str] = Counter()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(TimeoutError, asyncio.IncompleteReadError, ConnectionError):
            while True:
                await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), _IDLE)
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        writer.close()

    async def client(self, number: int, rounds: int) -> None:
        """Send a request whenever the connections of the last round are about to be closed."""
        streams = None
        for turn in range(rounds):
            try:
                streams = streams or await asyncio.open_connection("127.0.0.1", self._port)
                streams[1].write(self._request)
                head = await streams[0].readuntil(b"\r\n\r\n")
                self.found[head.split()[1].decode()] += 1
            except (asyncio.IncompleteReadError, ConnectionError) as error:
                self.found[type(error).__name__] += 1
                streams = None
            if streams and not self._kept:
                streams[1].close()
                streams = None
            # Spread over 8 ms, since the moment is not known more exactly.
            await asyncio.sleep(_IDLE - 0.004 + 0.008 * ((7 * number + turn) % 80) / 80)
        if streams:
            streams[1].close()


@pytest.mark.parametrize("replicas", [1, 2, 3])
@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("kept", [False, True], ids=["new", "kept"])
def test_no_request_is_lost_when_targets_close_connections(alb: Alb, replicas: int, method: str, kept: bool) -> None:
    """Targets that close connections after a second cost no request, not even one that is sent at that moment."""

    async def run() -> Counter[str]:
        impatient = _Impatient(alb, method, kept=kept)
        servers = [await asyncio.start_server(impatient.serve, "127.0.0.1", 0, backlog=512) for _ in range(replicas)]
        ports = [server.sockets[0].getsockname()[1] for server in servers]
        await asyncio.to_thread(register, ports)
        await asyncio.gather(*(impatient.client(number, 4) for number in range(60)))
        for server in servers:
            server.close()
        return impatient.found

    def register(ports: list[int]) -> None:
        targets = [{"id": f"t{number}", "address": "127.0.0.1", "port": port} for number, port in enumerate(ports)]
        alb.balancer.register(OWNER, "web", *map(Target.model_validate, targets))
        until(lambda: set(dict(alb.states()).values()) == {TargetState.HEALTHY}, "all are healthy")

    alb.declare({"default_action": {"forward": "web"}}, groups={"web": {"health_check": {**CHECK, "interval": "1s"}}})
    assert asyncio.run(run()) == {"200": 240}
