"""The metrics of network load balancers, after traffic through HAProxy."""

from __future__ import annotations

import re
import socket
import ssl
from collections import defaultdict
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest
import trustme

from pipeline.balancer.model import TargetState
from pipeline.balancer.telemetry.metrics import Metrics
from tests.support.ports import free_port
from tests.support.waiting import until
from tests.system.alb import OWNER
from tests.system.nlb import Nlb, TcpServer, network_balancer, set_reset
from tests.system.pki import Pki, shake

_SAMPLE = re.compile(r"aws_networkelb_(\w+?)(?:_total)?\{[^}]*\} (\S+)")


class Resetting(TcpServer):
    """A server that resets each connection after its first line."""

    def serve(self, connection: socket.socket) -> None:
        with suppress(OSError):
            connection.recv(100)
        set_reset(connection)


@pytest.fixture
def nlb(tmp_path: Path) -> Iterator[Nlb]:
    with network_balancer(tmp_path / "balancer") as made:
        yield made


def values(metrics: Metrics) -> dict[str, float]:
    """Return the sum of each metric."""
    found = defaultdict[str, float](float)
    for name, value in _SAMPLE.findall(metrics.text()):
        found[name] += float(value)
    return found


def await_values(metrics: Metrics, **expected: float) -> None:
    """Wait until metrics have these values. HAProxy counts a connection's end a moment after the client sees it."""
    until(lambda: values(metrics).items() >= expected.items(), f"the metrics are {expected}")


def test_flows_and_bytes(nlb: Nlb) -> None:
    """Flows and their bytes are counted by protocol. They continue over a reload with the same object."""
    nlb.declare()
    nlb.targets("a")
    metrics = Metrics(nlb.balancer)
    with nlb.connection() as made:
        made.ask("0123456789")
        await_values(metrics, new_flow_count_tcp=1, new_flow_count=1, active_flow_count_tcp=1, active_flow_count=1)
    await_values(metrics, active_flow_count_tcp=0, processed_bytes=11 + 13, processed_bytes_tcp=24)
    nlb.declare({}, {"port": free_port()})
    with nlb.connection() as made:
        made.ask("0123456789")
    await_values(metrics, new_flow_count_tcp=2, processed_bytes_tcp=48)


def test_resets_are_told_from_ends(nlb: Nlb) -> None:
    """A reset by a client or by a target is counted, and a connection that ends otherwise is not."""
    nlb.declare()
    (good,) = nlb.targets("a")
    metrics = Metrics(nlb.balancer)
    nlb.reached(3)
    with nlb.connection() as made:
        made.ask()
        made.reset()
    await_values(metrics, new_flow_count=4, tcp_client_reset_count=1, tcp_target_reset_count=0)
    bad = Resetting("b")
    nlb.servers.append(bad)  # type: ignore[arg-type]
    nlb.balancer.register(OWNER, "db", bad.target)
    nlb.await_states(b=TargetState.HEALTHY)
    nlb.balancer.deregister(OWNER, "db", good.name)
    with nlb.connection() as made, pytest.raises(ConnectionError):
        made.ask()
    await_values(metrics, tcp_client_reset_count=1, tcp_target_reset_count=1)


def test_tls_errors(nlb: Nlb, tmp_path: Path) -> None:
    """Failed handshakes are counted for clients, and for targets with each try."""
    pki = Pki(trustme.CA(), tmp_path)
    listener = {"protocol": "TLS", "certificates": [pki.issue("db", "db.test")]}
    nlb.declare(listener, groups={"db": {"protocol": "TLS", "health_check": {"protocol": "TCP"}}})
    plain = Resetting("plain")
    nlb.servers.append(plain)  # type: ignore[arg-type]
    nlb.balancer.register(OWNER, "db", plain.target)
    nlb.await_states(plain=TargetState.HEALTHY)
    metrics = Metrics(nlb.balancer)
    with pytest.raises(ssl.SSLError):
        shake(nlb.port, ssl.create_default_context(), "db.test")
    await_values(metrics, client_tls_negotiation_error_count=1, target_tls_negotiation_error_count=0)
    with closing(shake(nlb.port, pki.client(), "db.test")) as made, suppress(OSError):
        made.sendall(b"hello\n")
        made.recv(10)
    await_values(metrics, client_tls_negotiation_error_count=1, new_flow_count_tls=1)
    until(lambda: values(metrics)["target_tls_negotiation_error_count"] >= 1, "the target's error is counted")


def test_flows_to_unhealthy_targets(nlb: Nlb) -> None:
    """Flows of a group that fails open are counted, and those to healthy targets are not."""
    nlb.declare()
    (target,) = nlb.targets("a")
    metrics = Metrics(nlb.balancer)
    nlb.reached(2)
    await_values(metrics, new_flow_count=2, unhealthy_routing_flow_count=0)
    target.end()
    nlb.await_states(a=TargetState.UNHEALTHY)
    with suppress(OSError), nlb.connection() as made:
        made.ask()
    await_values(metrics, unhealthy_routing_flow_count=1)
