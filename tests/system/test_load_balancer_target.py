"""A network load balancer before an application load balancer: `target_type: alb`."""

from __future__ import annotations

import http.client
import os
import signal
import socket
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest
import trustme

from pipeline.balancer.haproxy.control_socket import Runtime
from pipeline.balancer.model import Declaration, TargetState
from pipeline.balancer.telemetry.rendering import as_data
from tests.support.ports import free_port
from tests.support.waiting import DEADLINE, until
from tests.system.alb import CHECK, OWNER, Alb
from tests.system.pki import Pki, shake

# On a busy machine, a healthy target may be late some times.
FAST = {"interval": "100ms", "timeout": "80ms", "healthy_threshold": 1, "unhealthy_threshold": 5}


CROSS_ZONE = "load_balancing.cross_zone.enabled"


class Chain(Alb):
    """An NLB `outer` on `port`, whose target is the ALB `inner` on `inner_port`."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.inner_port = free_port()

    def chain(
        self,
        *,
        rules: Any = (),
        check: Any = None,
        listener: Any = None,
        forward: Any = "front",
        zones: tuple[Any, Any] | None = None,
    ) -> None:
        """Declare both. `check`: more of the NLB's check. `listener`: more of the ALB's listener.

        `zones`: those of the ALB and of the NLB. The ALB's targets then get requests of their zone only.
        """
        self._owners.add(OWNER)
        front = {"protocol": "TCP", "target_type": "alb", "load_balancer": "inner", "port": self.inner_port}
        groups = {
            "web": {"port": 80, "health_check": CHECK, "attributes": {CROSS_ZONE: False} if zones else {}},
            "direct": {"protocol": "TCP", "port": 80, "health_check": {**FAST, "protocol": "HTTP", "path": "/healthz"}},
            "front": {**front, "health_check": {**FAST, "path": "/healthz", **(check or {})}},
        }
        inside = {"port": self.inner_port, "rules": rules, "default_action": {"forward": "web"}, **(listener or {})}
        outside = {"protocol": "TCP", "port": self.port, "default_action": {"forward": forward}}
        inner_zones, outer_zones = zones or (None, None)
        balancers = {
            "inner": {"scheme": "internal", "listeners": [inside], "zones": inner_zones},
            "outer": {"type": "network", "scheme": "internal", "listeners": [outside], "zones": outer_zones},
        }
        declared = Declaration.model_validate({"target_groups": groups, "load_balancers": balancers})
        self.balancer.apply(OWNER, declared)

    def await_front(self, state: TargetState) -> None:
        """Wait until the NLB's target has this state."""
        until(lambda: self.states("front") >= {"inner": state}.items(), f"the load balancer is {state}")


@pytest.fixture
def chain(tmp_path: Path) -> Iterator[Chain]:
    made = Chain(tmp_path / "balancer")
    try:
        yield made
    finally:
        made.end()


def test_the_alb_sees_the_address_of_the_client(chain: Chain) -> None:
    """X-Forwarded-For, a source-ip condition and the access log have the address of the NLB's client."""
    teapot = {"fixed_response": {"status_code": "418"}}
    chain.chain(rules=[{"priority": 1, "conditions": [{"source_ip": {"values": ["127.0.0.9/32"]}}], "action": teapot}])
    chain.serve("a")
    answer = chain.ask(source="127.0.0.7")
    assert answer.seen_header("x-forwarded-for") == "127.0.0.7"
    assert answer.seen_header("x-forwarded-port") == str(chain.inner_port)
    assert chain.ask(source="127.0.0.9").status == 418
    log = chain.balancer.access_log()

    def clients() -> list[str]:
        logged = [as_data(record.entry()) for record in log.newest_first()]
        return [str(entry["client:port"]).partition(":")[0] for entry in logged if entry["user_agent"] is None]

    # HAProxy writes the line after the response.
    until(lambda: clients()[:2] == ["127.0.0.9", "127.0.0.7"], "both lines are written")


def test_a_client_cannot_choose_its_address(chain: Chain) -> None:
    """A PROXY header that a client sends is a bad request."""
    chain.chain()
    chain.serve("a")
    with closing(socket.create_connection(("127.0.0.1", chain.port), timeout=DEADLINE)) as made:
        made.sendall(b"PROXY TCP4 10.0.0.1 10.0.0.2 1 2\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert made.recv(1000).startswith(b"HTTP/1.1 400 ")


def test_tls_passes_through(chain: Chain, tmp_path: Path) -> None:
    """The client's handshake is with the ALB, and the NLB checks it by HTTPS."""
    pki = Pki(trustme.CA(), tmp_path)
    secure = {"protocol": "HTTPS", "certificates": [pki.issue("shop", "shop.test")]}
    chain.chain(listener=secure, check={"protocol": "HTTPS"})
    chain.serve("a")
    chain.await_front(TargetState.HEALTHY)
    with closing(shake(chain.port, pki.client())) as made:
        made.sendall(b"GET / HTTP/1.1\r\nHost: shop.test\r\nConnection: close\r\n\r\n")
        answer = b"".join(iter(lambda: made.recv(65536), b""))
    assert b'["x-forwarded-for", "127.0.0.1"]' in answer
    assert b'["x-forwarded-proto", "https"]' in answer


def test_the_check_goes_through_the_alb(chain: Chain) -> None:
    """The target has the health of what the ALB forwards to. Its check has the address 127.0.0.1."""
    chain.chain()
    chain.await_front(TargetState.UNHEALTHY)
    (health,) = chain.balancer.target_health(OWNER, "front")
    assert health.description == "Health checks failed with these codes: [503]"
    (server,) = chain.serve("a")
    chain.await_front(TargetState.HEALTHY)
    server.health = 404
    chain.await_front(TargetState.UNHEALTHY)
    logged = next(record.entry() for record in chain.balancer.access_log().newest_first())
    assert (logged.client, logged.user_agent) == ("127.0.0.1:0", "ELB-HealthChecker/2.0")
    assert logged.request == f"GET http://127.0.0.1:{chain.inner_port}/healthz HTTP/1.1"


def test_an_unhealthy_alb_is_checked_at_the_interval(chain: Chain) -> None:
    """It is not checked sooner, as a container is that a deployment waits for. Each check is in the access log."""
    chain.chain(check={"interval": "400ms"})
    chain.await_front(TargetState.UNHEALTHY)
    log = chain.balancer.access_log()

    def checks() -> list[datetime]:
        return [record.entry().time for record in log.newest_first()]

    until(lambda: len(checks()) >= 5, "five checks are logged")
    times = sorted(checks())
    assert all(later - earlier > timedelta(seconds=0.3) for earlier, later in pairwise(times)), times


def test_an_unhealthy_alb_keeps_its_connections(chain: Chain) -> None:
    """The group fails open, because it has no other target: connections stay, and new ones reach the ALB."""
    chain.chain()
    (server,) = chain.serve("a")
    chain.await_front(TargetState.HEALTHY)
    with closing(http.client.HTTPConnection("127.0.0.1", chain.port, timeout=DEADLINE)) as kept:
        kept.request("GET", "/")
        kept.getresponse().read()
        server.health = 404
        chain.await_front(TargetState.UNHEALTHY)
        before = kept.sock
        kept.request("GET", "/")
        assert kept.getresponse().status == 200
        assert kept.sock is before
    assert chain.ask().status == 200


def test_a_changed_check_is_used_at_once(chain: Chain) -> None:
    """A change of the check reloads the plane, and the ALB stays in service meanwhile."""
    chain.chain()
    chain.serve("a")
    chain.await_front(TargetState.HEALTHY)
    chain.chain(check={"path": "/other", "matcher": "404"})
    assert chain.ask().status == 200
    chain.await_front(TargetState.UNHEALTHY)
    worker = chain.worker()
    chain.chain(check={"path": "/other", "interval": "200ms"})
    assert chain.worker() != worker
    chain.await_front(TargetState.HEALTHY)


def test_the_alb_shares_traffic_with_another_group(chain: Chain) -> None:
    """A weighted forward sends one half of the connections through the ALB, and the other half around it."""
    chain.chain(forward=["front", "direct"])
    chain.serve("a")
    chain.serve("b", group="direct")
    found = Counter(chain.ask().seen_header("x-forwarded-for") is not None for _ in range(200))
    assert min(found[True], found[False]) > 60, found


def test_a_node_passes_connections_to_the_node_of_its_zone(chain: Chain) -> None:
    """With zones in both load balancers and cross-zone balancing off, connections stay in their zone."""
    chain.chain(zones=({"a": "127.0.0.2", "b": "127.0.0.3"}, {"a": "127.0.0.4", "b": "127.0.0.5"}))
    chain.serve("of-a", zone="a")
    chain.serve("of-b", zone="b")
    assert {chain.ask(address="127.0.0.4").seen["server"] for _ in range(4)} == {"of-a"}
    assert {chain.ask(address="127.0.0.5").seen["server"] for _ in range(4)} == {"of-b"}


def test_a_crash_of_haproxy(chain: Chain) -> None:
    """After SIGKILL, the NLB reaches the ALB as before. What connects meanwhile waits."""
    chain.chain()
    chain.serve("a")
    with chain.balancer.standby():
        master = chain.balancer.pid()
        assert master is not None
        os.kill(master, signal.SIGKILL)
        until(lambda: Runtime(chain.balancer.directory).fingerprint() is None, "HAProxy is gone")
        connection = http.client.HTTPConnection(
            "127.0.0.1", chain.port, timeout=DEADLINE, source_address=("127.0.0.7", 0)
        )
        with closing(connection):
            connection.request("GET", "/", headers={"Connection": "close"})
            chain.balancer.ensure_running()
            assert b'["x-forwarded-for", "127.0.0.7"]' in connection.getresponse().read()


def test_a_rolling_replacement_behind_the_alb_loses_nothing(chain: Chain) -> None:
    """While targets are replaced and HAProxy is reloaded, no request through the NLB fails."""
    chain.chain()
    chain.serve("old-1", "old-2")
    ended, failures, served = Event(), list[str](), Counter[str]()
    clients = [Thread(target=_request_until, args=(chain.port, ended, failures, served)) for _ in range(4)]
    for client in clients:
        client.start()
    try:
        for number in (1, 2):
            chain.serve(f"new-{number}")
            chain.chain(check={"path": f"/healthz?{number}"})
            chain.balancer.deregister(OWNER, "web", f"old-{number}")
            until(lambda: not _in_flight(chain, "web", f"old-{number}"), "the old target is idle")  # noqa: B023
            chain.balancer.remove_target(OWNER, "web", f"old-{number}")
        before = served.total()
        until(lambda: served.total() > before + 100, "requests reach the new targets")
    finally:
        ended.set()
        for client in clients:
            client.join()
    assert not failures
    assert {"old-1", "old-2", "new-1", "new-2"} <= served.keys()


def _in_flight(chain: Chain, group: str, name: str) -> int:
    chain.balancer.reconcile(OWNER, group)
    found = chain.balancer.target_health(OWNER, group)
    return sum(health.in_flight for health in found if health.target.id == name)


def _request_until(port: int, ended: Event, failures: list[str], served: Counter[str]) -> None:
    """Send requests, every other one on a kept connection. Nothing is repeated."""
    while not ended.is_set():
        with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=DEADLINE)) as connection:
            for _ in range(2):
                try:
                    connection.request("GET", "/?wait=0.01")
                    answer = connection.getresponse()
                    served[answer.read().decode().split('"')[3]] += 1
                except OSError as error:
                    failures.append(repr(error))
                    return
                if answer.status != 200:
                    failures.append(f"{answer.status}")
                if answer.getheader("Connection") == "close":
                    break
