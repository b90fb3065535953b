"""A request whose target dies: the second try, its limits, and what the client and the access log see."""

from __future__ import annotations

import http.client
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import closing, suppress
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest

from pipeline.balancer.haproxy.log_line import AccessLogLine
from pipeline.balancer.model import TargetState
from tests.support.loopback import LoopbackServer
from tests.support.waiting import DEADLINE, until
from tests.system.alb import CHECK, OWNER, Alb

# Checked so rarely that a dead target counts as healthy for the whole test.
_CHECK = {**CHECK, "interval": "5s", "timeout": "1s", "unhealthy_threshold": 10}
_LIMIT = "retry.minimum_healthy_targets.count"
_FAIL_OPEN = "target_group_health.unhealthy_state_routing.minimum_healthy_targets.count"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Mortal

    def setup(self) -> None:
        super().setup()
        self.server.connections.append(self.connection)

    def do_GET(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        is_check = self.headers["User-Agent"] == "ELB-HealthChecker/2.0"
        if self.path == "/die":
            self.server.die()
            self.close_connection = True
            return
        self.send_response(500 if is_check and self.server.is_sick else 200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_POST = do_PUT = do_GET  # noqa: N815

    def log_message(self, *args: object) -> None: ...


class Mortal(LoopbackServer):
    """A target that dies like a process: its connections break, and new ones are refused."""

    handler = _Handler

    def __init__(self, name: str) -> None:
        self.connections: list[socket.socket] = []
        self.dead = threading.Event()
        self.is_sick = False
        super().__init__(name)

    def die(self) -> None:
        """Refuse new connections and break the open ones."""
        # Closing it takes effect only after the thread that polls it has noticed.
        self.socket.shutdown(socket.SHUT_RDWR)
        self.dead.set()
        for connection in self.connections:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def mortals() -> Iterator[list[Mortal]]:
    """The targets of a test, which end with it."""
    found: list[Mortal] = []
    yield found
    for mortal in found:
        mortal.end()


def serve(
    alb: Alb,
    mortals: list[Mortal],
    count: int,
    attributes: Mapping[str, Any] | None = None,
    check: Mapping[str, Any] = _CHECK,
) -> None:
    """Serve with so many targets."""
    alb.declare(
        {"default_action": {"forward": "web"}},
        groups={"web": {"health_check": check, "attributes": dict(attributes or {})}},
    )
    for number in range(count):
        mortals.append(Mortal(f"m{number}"))
        alb.balancer.register(OWNER, "web", mortals[-1].target)
    names = [mortal.name for mortal in mortals]
    until(lambda: alb.states() >= dict.fromkeys(names, TargetState.HEALTHY).items(), "all are healthy")


def dead(mortals: list[Mortal]) -> int:
    """Return how many targets have died."""
    return sum(mortal.dead.is_set() for mortal in mortals)


@pytest.mark.parametrize(("targets", "victims"), [(1, 1), (2, 1), (3, 2), (4, 2), (5, 2)])
@pytest.mark.parametrize("kept", [False, True], ids=["new connection", "kept connection"])
def test_a_get_that_kills_its_target_is_sent_twice_at_most(
    alb: Alb, mortals: list[Mortal], targets: int, victims: int, kept: bool
) -> None:
    """One GET kills two targets at most, and one of two. It never kills the last one."""
    serve(alb, mortals, targets)
    with closing(http.client.HTTPConnection("127.0.0.1", alb.port, timeout=DEADLINE)) as connection:
        for _ in range(3 * targets if kept else 0):
            connection.request("GET", "/")
            assert connection.getresponse().read() == b""
        connection.request("GET", "/die")
        with suppress(http.client.RemoteDisconnected):
            assert connection.getresponse().status in (502, 503)
    assert dead(mortals) == victims


@pytest.mark.parametrize(("targets", "least"), [(2, 1), (4, 0.6), (5, 0.7), (6, 0.75)])
def test_most_requests_after_it_succeed(alb: Alb, mortals: list[Mortal], targets: int, least: float) -> None:
    """A refused connection goes to one other target. Until checks find them, few requests meet both dead ones."""
    serve(alb, mortals, targets)
    assert alb.ask("/die").status == 502
    killed = dead(mortals)
    found = [alb.ask().status for _ in range(30 * targets)]
    assert (dead(mortals), set(found) <= {200, 502}) == (killed, True)
    assert found.count(200) / len(found) >= least


def test_all_requests_succeed_when_checks_have_found_it(alb: Alb, mortals: list[Mortal]) -> None:
    """The dead targets become unhealthy by their checks, and then cost nothing."""
    serve(alb, mortals, 4, check=CHECK)
    assert alb.ask("/die").status == 502
    until(lambda: list(dict(alb.states()).values()).count(TargetState.UNHEALTHY) == 2, "both are found out")
    assert {alb.ask().status for _ in range(20)} == {200}


@pytest.mark.parametrize(("least", "targets"), [(1, 2), (2, 2), (2, 3)])
def test_a_group_that_fails_open(alb: Alb, mortals: list[Mortal], least: int, targets: int) -> None:
    """While unhealthy targets get requests too, a GET kills one of two, and never another one and the only healthy."""
    serve(alb, mortals, targets, {_FAIL_OPEN: least}, CHECK)
    for mortal in mortals[:2]:
        mortal.is_sick = True
    until(lambda: list(dict(alb.states()).values()).count(TargetState.UNHEALTHY) == 2, "two are found out")
    assert alb.ask("/die").status == 502
    assert dead(mortals) == 1


@pytest.mark.parametrize(
    ("attributes", "targets", "victims"),
    [({"retry.enabled": False}, 4, 1), ({_LIMIT: 2}, 2, 2), ({_LIMIT: 5}, 4, 1), ({_LIMIT: 4}, 4, 2)],
)
def test_retry_is_a_setting(
    alb: Alb, mortals: list[Mortal], attributes: Mapping[str, Any], targets: int, victims: int
) -> None:
    """`retry.enabled` and the least number of healthy targets decide about the second try."""
    serve(alb, mortals, targets, attributes)
    assert alb.ask("/die").status == 502
    assert dead(mortals) == victims


@pytest.mark.parametrize("method", ["GET", "PUT", "POST"])
def test_a_target_that_dies_costs_no_idempotent_request(alb: Alb, mortals: list[Mortal], method: str) -> None:
    """Requests in flight to a target that dies are answered by others, whatever connection they came on."""
    serve(alb, mortals, 3)
    key = [("Idempotency-Key", "k")] if method == "POST" else []
    body = None if method == "GET" else b"x"
    failed: list[object] = []
    done, sent = threading.Event(), [0]

    def keep_asking() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", alb.port, timeout=DEADLINE)
        while not done.is_set():
            try:
                connection.request(method, "/", body, dict(key))
                answer = connection.getresponse()
                answer.read()
                sent[0] += 1
                if answer.status != 200:
                    failed.append(answer.status)
            except (OSError, http.client.HTTPException) as error:
                failed.append(error)
                connection.close()
        connection.close()

    threads = [threading.Thread(target=keep_asking) for _ in range(8)]
    for thread in threads:
        thread.start()
    until(lambda: sent[0] > 200, "requests flow")
    mortals[0].die()
    reached = sent[0]
    until(lambda: sent[0] > reached + 400, "requests flow after the death")
    done.set()
    for thread in threads:
        thread.join()
    assert failed == []


def test_each_death_under_a_first_request_has_a_line(alb: Alb, mortals: list[Mortal]) -> None:
    """POSTs that kill their targets get 502 and a line each, which the metrics count."""
    serve(alb, mortals, 6)
    for path in ["/"] * 12 + ["/die"] * 4:
        status = alb.ask(path, "POST").status
        assert status in ((502, 503) if path == "/die" else (200,))
    log = alb.balancer.directory / "access.log"

    def statuses() -> list[str]:
        lines = (line for raw in log.read_bytes().splitlines() if (line := AccessLogLine.read(raw)))
        return [line.fields["status"] for line in lines if line.fields["uri"] == "/die"]

    # HAProxy writes the line after the response.
    until(lambda: len(statuses()) == 4, "a line for each death")
    assert statuses().count("502") == dead(mortals)
