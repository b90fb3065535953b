"""Requests for a group without a target, which the activator holds until there is one."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import grpc
import pytest
import requests
import trustme
from websockets.sync.client import connect

from pipeline.balancer.access import AccessRecord
from pipeline.balancer.haproxy.activator.process import activator
from pipeline.balancer.haproxy.monitor import HAProxyMonitor
from pipeline.balancer.model import TargetState
from tests.support.ports import free_port
from tests.support.waiting import DEADLINE, until
from tests.system.alb import CHECK, OWNER, Alb
from tests.system.servers import Grpc, Scripted, WebSocket, context

FORWARD = {"default_action": {"forward": "web"}}
LONG = "10m"


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    """Clients, which wait for their responses."""
    with ThreadPoolExecutor(32) as found:
        yield found


def declare(alb: Alb, hold_time: str = LONG, *listeners: Any, idle: int = 60, **group: Any) -> None:
    """Declare a listener before the group `web`, which holds requests. `idle`: the idle timeout, in seconds."""
    settings = {"hold_time": hold_time, "deregistration_delay": "30s", **group}
    attributes = {"idle_timeout.timeout_seconds": idle}
    alb.declare(FORWARD, *listeners, groups={"web": settings}, attributes=attributes)


def held(alb: Alb) -> int:
    """Return the number of requests that are held."""
    return alb.balancer.held_requests(OWNER, "web")


def await_held(alb: Alb, count: int) -> None:
    """Wait until so many requests are held."""
    until(lambda: held(alb) == count, f"{count} requests are held")


def in_flight(alb: Alb) -> list[int]:
    """Return the number of open requests of each target."""
    return [health.in_flight for health in alb.balancer.target_health(OWNER, "web")]


def serve(alb: Alb, server: Any) -> None:
    """Put a server in service."""
    alb.servers.append(server)
    alb.balancer.register(OWNER, "web", server.target)
    until(lambda: dict(alb.states()).get(server.name) is TargetState.HEALTHY, "the target is healthy")


def records(alb: Alb) -> list[AccessRecord]:
    """Return the records of the access log, newest first."""
    return [record for record in alb.balancer.access_log().newest_first() if isinstance(record, AccessRecord)]


def test_held_requests_are_answered(alb: Alb, pool: ThreadPoolExecutor) -> None:
    """By the first target, with their bodies, also those that fit no buffer. Later ones go to it directly."""
    declare(alb, idle=2)
    bodies = [b"x" * size for size in (0, 10, 20_000, 3_000_000)]
    asked = [pool.submit(alb.ask, f"/{len(body)}", "POST", body=body) for body in bodies]
    await_held(alb, len(bodies))
    # Longer than the idle timeout, which begins with the target.
    begun = time.monotonic()
    until(lambda: time.monotonic() - begun > 2.5, "the idle timeout is over")
    assert held(alb) == len(bodies)
    alb.serve("a")
    answers = [each.result(DEADLINE) for each in asked]
    assert [answer.status for answer in answers] == [200] * len(bodies)
    assert [len(answer.seen["body"]) for answer in answers] == [len(body) for body in bodies]
    await_held(alb, 0)
    assert alb.ask("/direct").status == 200
    until(lambda: len(records(alb)) == len(bodies) + 1, "all requests are logged")
    direct, *others = records(alb)
    assert direct.target == f"127.0.0.1:{alb.servers[0].target.port}"
    assert {record.target for record in others} == {"held"}
    # The time of a start is no response time of a target.
    assert {record.target_time for record in others} == {None}
    assert {record.target_group for record in others} == {direct.target_group}


def test_a_hold_ends(alb: Alb) -> None:
    """After its time, with 503 and the time after which to try again. The log names no target."""
    declare(alb, "1s")
    begun = time.monotonic()
    answer = alb.ask("/late", "POST", body=b"x" * 100_000)
    assert time.monotonic() - begun >= 1
    assert (answer.status, answer.header("Retry-After")) == (503, "10")
    assert "503 Service Unavailable" in answer.text
    (record,) = until(lambda: records(alb), "it is logged")
    found = (record.target, record.elb_status, record.target_status, record.error)
    assert found == ("held", 503, None, "NoTarget")


def test_a_response_of_a_target_stays_as_it_is(alb: Alb, pool: ThreadPoolExecutor) -> None:
    """A 502 of the target itself is none of the activator."""
    declare(alb)
    asked = pool.submit(alb.ask, "/?status=502")
    await_held(alb, 1)
    alb.serve("a")
    answer = asked.result(DEADLINE)
    assert (answer.status, answer.header("Retry-After")) == (502, None)


def test_no_request_is_lost_between_the_last_and_the_first_target(alb: Alb, pool: ThreadPoolExecutor) -> None:
    """Clients ask all the time, while the only target leaves and comes back several times. Each gets its response."""
    declare(alb)
    ending = threading.Event()

    def client() -> list[int]:
        found = []
        while not ending.is_set():
            found.append(alb.ask("/").status)
        return found

    alb.serve("t0")
    clients = [pool.submit(client) for _ in range(4)]
    for number in range(3):
        alb.balancer.deregister(OWNER, "web", f"t{number}")
        await_held(alb, len(clients))
        until(lambda: in_flight(alb) == [0], "the target is drained")
        alb.balancer.remove_target(OWNER, "web", f"t{number}")
        alb.serve(f"t{number + 1}")
        await_held(alb, 0)
    ending.set()
    statuses = [status for each in clients for status in each.result(DEADLINE)]
    assert set(statuses) == {200}
    until(lambda: sum(record.target == "held" for record in records(alb)) >= 3 * len(clients), "they are logged")


def test_a_client_that_leaves(alb: Alb) -> None:
    """It is held no more, and no target gets its request."""
    declare(alb)
    with closing(socket.create_connection(("127.0.0.1", alb.port), DEADLINE)) as client:
        client.sendall(b"POST / HTTP/1.1\r\nHost: shop.test\r\nContent-Length: 5\r\n\r\nhello")
        await_held(alb, 1)
    await_held(alb, 0)
    (server,) = alb.serve("a")
    assert alb.ask("/").status == 200
    assert server.requests == 1


def test_a_reload_loses_nothing(alb: Alb, pool: ThreadPoolExecutor) -> None:
    """Requests that the replaced worker has sent to the activator are answered, and so are those after it."""
    declare(alb)
    before, worker = pool.submit(alb.ask, "/before", "POST", body=b"x" * 500_000), alb.worker()
    await_held(alb, 1)
    declare(alb, LONG, {"port": free_port(), **FORWARD})
    assert alb.worker() != worker
    after = pool.submit(alb.ask, "/after")
    await_held(alb, 2)
    alb.serve("a")
    assert [each.result(DEADLINE).status for each in (before, after)] == [200, 200]


def upgrade(alb: Alb) -> int:
    """Let the activator be replaced as by another version, and return the former process."""
    file = alb.balancer.directory / "activator.pid"
    former = int(file.read_text().split()[0])
    file.write_text(f"{former} other-code")
    alb.balancer.ensure_running()
    assert int(file.read_text().split()[0]) != former
    return former


def test_an_upgrade_loses_nothing(alb: Alb, pool: ThreadPoolExecutor) -> None:
    """The former activator passes on what it holds and exits. The next one holds what comes."""
    declare(alb)
    before = pool.submit(alb.ask, "/before")
    await_held(alb, 1)
    former = upgrade(alb)
    after = pool.submit(alb.ask, "/after")
    await_held(alb, 2)
    alb.serve("a")
    assert [each.result(DEADLINE).status for each in (before, after)] == [200, 200]
    until(lambda: not _runs(former), "the former activator has exited")


def _runs(pid: int) -> bool:
    # It may be a child of this process.
    try:
        return os.waitpid(pid, os.WNOHANG)[0] == 0
    except ChildProcessError:
        return Path(f"/proc/{pid}").exists()


def test_a_killed_activator(alb: Alb, pool: ThreadPoolExecutor) -> None:
    """What it held gets 503 and may be tried again. The next reconciliation starts another one."""
    declare(alb)
    asked = pool.submit(alb.ask, "/")
    await_held(alb, 1)
    pid = activator(alb.balancer.directory).running()
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    answer = asked.result(DEADLINE)
    assert (answer.status, answer.header("Retry-After")) == (503, "10")
    until(lambda: not _runs(pid), "it is gone")
    await_held(alb, 0)
    alb.balancer.reconcile()
    again = pool.submit(alb.ask, "/")
    await_held(alb, 1)
    alb.serve("a")
    assert again.result(DEADLINE).status == 200


def test_a_drain_waits_for_what_was_held(alb: Alb, pool: ThreadPoolExecutor) -> None:
    """A target that got a request of the activator is not drained before its response."""
    declare(alb)
    asked = pool.submit(alb.ask, "/?wait=600")
    await_held(alb, 1)
    (server,) = alb.serve("a")
    until(lambda: server.requests == 1, "the target has the request")
    assert in_flight(alb) == [1]
    alb.balancer.deregister(OWNER, "web", "a")
    assert dict(alb.states()) == {"a": TargetState.DRAINING}
    assert in_flight(alb) == [1]
    server.released.set()
    assert asked.result(DEADLINE).status == 200
    until(lambda: in_flight(alb) == [0], "the target is drained")


@pytest.mark.parametrize("event", ["none", "upgrade", "held-no-more"])
def test_the_end_of_a_drain_ends_what_was_held(alb: Alb, pool: ThreadPoolExecutor, event: str) -> None:
    """After the deregistration delay, the open requests of the target end, those of the activator too.

    Also those of an activator that was replaced, or that goes because the group holds nothing any more.
    """
    declare(alb, deregistration_delay="0s")
    asked = pool.submit(alb.ask, "/?wait=600")
    await_held(alb, 1)
    (server,) = alb.serve("a")
    until(lambda: server.requests == 1, "the target has the request")
    if event == "upgrade":
        upgrade(alb)
    elif event == "held-no-more":
        alb.declare(FORWARD, groups={"web": {"deregistration_delay": "0s"}})
    assert in_flight(alb) == [1]
    alb.balancer.deregister(OWNER, "web", "a")
    alb.balancer.abort_connections(OWNER, "web", "a")
    assert asked.result(DEADLINE).status == 503
    until(lambda: in_flight(alb) == [0], "the target has nothing open")


def test_unhealthy_targets_get_requests(alb: Alb) -> None:
    """A group whose targets are all unhealthy fails open, as others. It is not scaled to zero."""
    declare(alb)
    (server,) = alb.serve("a")
    server.health = 500
    until(lambda: dict(alb.states()) == {"a": TargetState.UNHEALTHY}, "the target is unhealthy")
    assert alb.ask("/").status == 200
    assert held(alb) == 0


def test_a_group_that_needs_several_targets(alb: Alb, pool: ThreadPoolExecutor) -> None:
    """Without any, it holds requests. With too few, it fails open."""
    declare(alb, attributes={"target_group_health.unhealthy_state_routing.minimum_healthy_targets.count": 2})
    asked = pool.submit(alb.ask, "/")
    await_held(alb, 1)
    alb.serve("a")
    assert asked.result(DEADLINE).status == 200
    assert alb.ask("/").status == 200
    until(lambda: len(records(alb)) == 2, "both are logged")
    assert [record.target == "held" for record in records(alb)] == [False, True]


def test_rules_and_weights(alb: Alb, pool: ThreadPoolExecutor) -> None:
    """Only requests for the group without targets are held, whatever leads to it."""
    rule = {"priority": 1, "conditions": [{"path_pattern": ["/other/*"]}], "action": {"forward": "other"}}
    weights = [{"target_group": "web", "weight": 1}, {"target_group": "never", "weight": 0}]
    groups = {"web": {"hold_time": LONG}, "other": {}, "never": {}}
    alb.declare({"default_action": {"forward": weights}, "rules": [rule]}, groups=groups)
    alb.serve("b", group="other")
    asked = pool.submit(alb.ask, "/")
    await_held(alb, 1)
    assert alb.ask("/other/x").seen["server"] == "b"
    alb.serve("a")
    assert asked.result(DEADLINE).seen["server"] == "a"


def test_the_supervisor_hears_of_the_first_request(alb: Alb, pool: ThreadPoolExecutor) -> None:
    """By a report, so nobody has to look. One that was not there sees it in the count."""
    declare(alb)
    monitor = HAProxyMonitor(alb.balancer.directory)
    with closing(monitor):
        assert monitor.open()
        asked = pool.submit(alb.ask, "/")
        until(lambda: OWNER in monitor.owners(), "the report arrives")
        assert held(alb) == 1
    alb.serve("a")
    assert asked.result(DEADLINE).status == 200


def test_the_activator_goes_with_the_last_group(alb: Alb) -> None:
    """A group that holds nothing any more needs no process and no file."""
    declare(alb)
    directory = alb.balancer.directory
    pid = activator(directory).running()
    assert pid is not None
    alb.serve("a")
    alb.declare(FORWARD)
    until(lambda: not _runs(pid), "the activator has exited")
    assert not [path.name for path in directory.iterdir() if "activator.json" in path.name or "held" in path.name]
    assert alb.ask("/").status == 200


class _Client:
    """Clients with other protocols, each of which sends one request and returns whether the answer is right."""

    def __init__(self, alb: Alb, directory: Path) -> None:
        self.alb, self.directory = alb, directory
        authority = trustme.CA()
        self.leaf = authority.issue_cert("localhost", "127.0.0.1")
        self.authorities = directory / "ca.pem"
        authority.cert_pem.write_to_path(self.authorities)
        self.certificate = directory / "localhost.pem"
        self.leaf.private_key_and_cert_chain_pem.write_to_path(self.certificate)
        self.secure = free_port()

    def listener(self) -> dict[str, Any]:
        """Return an HTTPS listener."""
        certificates = [{"certificate": str(self.certificate)}]
        return {"port": self.secure, "protocol": "HTTPS", "certificates": certificates, **FORWARD}

    def https(self) -> bool:
        """HTTP/1.1 over TLS."""
        with requests.Session() as session:
            session.trust_env, session.verify = False, str(self.authorities)
            return session.get(f"https://localhost:{self.secure}/", timeout=DEADLINE).ok

    def http2(self) -> bool:
        """Calls of one connection of HTTP/2, at the same time."""
        trusted = grpc.ssl_channel_credentials(self.authorities.read_bytes())
        with grpc.secure_channel(f"localhost:{self.secure}", trusted) as channel:
            say: Any = channel.unary_unary("/shop.Echo/Say")
            calls = [say.future(str(number).encode(), timeout=DEADLINE) for number in range(3)]
            return [call.result() for call in calls] == [b"a:0", b"a:1", b"a:2"]

    def websocket(self) -> bool:
        """A websocket, which stays open."""
        with connect(f"ws://127.0.0.1:{self.alb.port}", proxy=None, open_timeout=DEADLINE, close_timeout=1) as socket:
            for word in ("one", "two"):
                socket.send(word)
                if socket.recv(DEADLINE) != f"a:{word}":
                    return False
        return True


TCP = {key: value for key, value in CHECK.items() if key != "path"} | {"protocol": "TCP"}


@pytest.mark.parametrize(
    ("client", "count", "group"),
    [
        ("https", 1, {}),
        ("https", 1, {"protocol": "HTTPS", "health_check": {**CHECK, "protocol": "HTTPS"}}),
        ("http2", 3, {"protocol_version": "GRPC", "health_check": TCP}),
        ("websocket", 1, {"health_check": {**CHECK, "matcher": "426"}}),
    ],
    ids=["https", "https-target", "grpc", "websocket"],
)
def test_other_protocols(
    alb: Alb, tmp_path: Path, pool: ThreadPoolExecutor, client: str, count: int, group: dict[str, Any]
) -> None:
    """TLS of clients and targets, streams of HTTP/2, gRPC and websockets are held as other requests."""
    clients = _Client(alb, tmp_path)
    declare(alb, LONG, clients.listener(), **group)
    asked: Future[bool] = pool.submit(getattr(clients, client))
    await_held(alb, count)
    serve(alb, _server(client, clients.leaf if group.get("protocol") else None))
    assert asked.result(DEADLINE)
    until(lambda: held(alb) == 0, "nothing is held")


def _server(client: str, certificate: trustme.LeafCert | None) -> Any:
    if client == "http2":
        return Grpc("a")
    return WebSocket("a") if client == "websocket" else Scripted("a", context(certificate) if certificate else None)


def test_a_grpc_call_that_is_held_too_long(alb: Alb, tmp_path: Path) -> None:
    """It is unavailable, which clients may retry."""
    clients = _Client(alb, tmp_path)
    declare(alb, "1s", clients.listener(), protocol_version="GRPC", health_check=TCP)
    trusted = grpc.ssl_channel_credentials(clients.authorities.read_bytes())
    with grpc.secure_channel(f"localhost:{clients.secure}", trusted) as channel:
        say: Any = channel.unary_unary("/shop.Echo/Say")
        with pytest.raises(grpc.RpcError) as failed:
            say(b"", timeout=DEADLINE)
    assert failed.value.code() is grpc.StatusCode.UNAVAILABLE
