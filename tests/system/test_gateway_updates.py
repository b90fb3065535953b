"""Changes of a gateway load balancer in place, and which of its open flows survive them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest

from pipeline.balancer.endpoint_resources import EndpointState
from tests.support.gateway_lab import CLIENTS, SERVERS, GatewayLab
from tests.support.gateway_traffic import HeldFlow
from tests.support.namespace import obstacle
from tests.support.waiting import DEADLINE
from tests.system.gateway_balancer import GROUP, NAME, GatewayBalancer, gateway_balancer

pytestmark = pytest.mark.skipif(bool(obstacle()), reason=obstacle())

_LISTENER = ("load_balancers", NAME, "listeners", 0)
_NETWORKS = ("endpoints", "office", "networks")
_HOST = {"host": True, "addresses": ["192.0.2.0/24"], "routes": ["198.51.100.0/24"]}
# Each is one field of one resource, with its new value.
_CHANGES: Mapping[tuple[Any, ...], Any] = {
    (*_LISTENER, "attributes"): {"tcp.idle_timeout.seconds": 6000},
    ("target_groups", GROUP, "attributes"): {
        "target_failover.on_deregistration": "rebalance",
        "target_failover.on_unhealthy": "rebalance",
    },
    ("target_groups", GROUP, "deregistration_delay"): "2m",
    ("target_groups", GROUP, "health_check", "interval"): "2s",
    ("load_balancers", NAME, "attributes"): {"load_balancing.cross_zone.enabled": True},
    ("endpoint_services", NAME, "acceptance_required"): True,
    (*_NETWORKS, "clients", "addresses"): ["198.18.0.0/25", "fd98::/64"],
    (*_NETWORKS, "clients", "routes"): ["198.18.1.0/24", "fd98:1::/64"],
    (*_NETWORKS, "machine"): _HOST,
    ("endpoints", "office", "zone"): "zone-a",
}


@pytest.fixture
def lab() -> Iterator[GatewayLab]:
    """The networks with two appliances."""
    with closing(GatewayLab(appliances=2)) as opened:
        yield opened


@pytest.fixture
def balancer(lab: GatewayLab, tmp_path: Path) -> Iterator[GatewayBalancer]:
    """The load balancer with its appliances."""
    with gateway_balancer(lab, tmp_path / "balancer") as balancer:
        yield balancer


def opened(lab: GatewayLab, stack: ExitStack) -> list[HeldFlow]:
    """Return connections that stay open until the stack ends. Each has had an answer."""
    flows = [stack.enter_context(closing(lab.client.open(SERVERS[0], each, timeout=DEADLINE))) for each in CLIENTS[:8]]
    for flow in flows:
        assert flow.ask("before")
    return flows


def test_open_flows_survive_changes(lab: GatewayLab, balancer: GatewayBalancer) -> None:
    """Of one field after the other. They stay with their appliances."""
    declared = balancer.declared()
    with ExitStack() as stack:
        flows = opened(lab, stack)
        for (*path, last), value in _CHANGES.items():
            place: Any = declared
            for each in path:
                place = place[each]
            place[last] = value
            balancer.apply(declared)
            for flow in flows:
                assert flow.ask(f"after the change of {last}")
        assert lab.passage([flow.flow for flow in flows]).is_symmetric


def test_a_network_that_leaves_and_comes_back(lab: GatewayLab, balancer: GatewayBalancer) -> None:
    """Its connections wait meanwhile."""
    declared = balancer.declared()
    networks = declared["endpoints"]["office"]["networks"]
    with ExitStack() as stack:
        flows = opened(lab, stack)
        clients = networks.pop("clients")
        balancer.apply(declared)
        assert len(lab.client.send("udp", SERVERS[:1], 2, timeout=0.1).lost) == 2
        networks["clients"] = clients
        balancer.apply(declared)
        for flow in flows:
            assert flow.ask("after")


def test_an_endpoint_that_is_rejected_and_accepted(lab: GatewayLab, balancer: GatewayBalancer) -> None:
    """Its networks are detached at once, and its open connections end. New ones begin when it is accepted."""
    with ExitStack() as stack:
        flows = opened(lab, stack)
        with balancer.opened() as pipelines:
            (endpoint,) = pipelines.registry().endpoints.values()
            assert pipelines.decide(endpoint.id, EndpointState.REJECTED)
        assert len(lab.client.send("udp", SERVERS[:1], 2, timeout=0.1).lost) == 2
        assert "gwlbe-" not in lab.clients.run("ip", "link")
        with balancer.opened() as pipelines:
            assert pipelines.decide(endpoint.id, EndpointState.AVAILABLE)
        assert len(lab.client.send("tcp", SERVERS[:1], 8, timeout=DEADLINE).answered) == 8
        flows[0].socket.settimeout(0.5)
        with pytest.raises(TimeoutError):
            flows[0].ask("still there?")


def test_one_appliance_in_two_load_balancers(lab: GatewayLab, balancer: GatewayBalancer) -> None:
    """An endpoint that goes from one to the other keeps its connections, also when the appliance leaves the first."""
    declared = balancer.declared()
    declared["target_groups"]["others"] = declared["target_groups"][GROUP]
    declared["load_balancers"]["second"] = {"type": "gateway", "listeners": [{"default_action": {"forward": "others"}}]}
    declared["endpoint_services"]["second"] = {"load_balancers": ["second"], "acceptance_required": False}
    balancer.apply(declared)
    shared, alone = lab.appliances
    with ExitStack() as stack:
        flows = opened(lab, stack)
        declared["endpoints"]["office"]["service"] = "second"
        balancer.apply(declared)
        balancer.register(shared, group="others")
        for flow in flows:
            assert flow.ask("choose again")
        received = alone.counts()["received"]
        balancer.deregister(shared)
        balancer.remove(shared)
        for flow in flows:
            assert flow.ask("stays")
        assert alone.counts()["received"] == received
