"""The choice among the nodes of a load balancer."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.balancer.model.network.attributes import RoutingPolicy
from pipeline.balancer.names.node import Node, nodes_for

A = Node(ip_address("192.0.2.1"), "zone-a", ip_network("10.1.0.0/16"))
B = Node(ip_address("192.0.2.2"), "zone-b", ip_network("10.2.0.0/16"))
C = Node(ip_address("2001:db8::3"), "zone-c", ip_network("2001:db8:c::/48"))
POLICIES = st.sampled_from(RoutingPolicy.__args__)  # type: ignore[attr-defined]
DRAWS = st.floats(0, 1, exclude_max=True)


def out(node: Node) -> Node:
    return Node(node.address, node.zone, node.network, in_service=False)


@pytest.mark.parametrize(
    ("policy", "client", "draw", "expected"),
    [
        ("any_availability_zone", "10.1.0.9", 0.0, "abc"),
        ("availability_zone_affinity", "10.1.0.9", 0.99, "a"),
        ("availability_zone_affinity", "2001:db8:c::9", 0.99, "c"),
        ("availability_zone_affinity", "10.9.0.9", 0.0, "abc"),
        ("partial_availability_zone_affinity", "10.2.0.9", 0.849, "b"),
        ("partial_availability_zone_affinity", "10.2.0.9", 0.85, "abc"),
    ],
)
def test_policies(policy: RoutingPolicy, client: str, draw: float, expected: str) -> None:
    """Affinity gives the node of the client's own zone, partial affinity for 85 % of the queries."""
    found = nodes_for([A, B, C], policy, ip_address(client), draw)
    assert [node.zone for node in found] == [f"zone-{letter}" for letter in expected]


def test_affinity_ends_with_the_health_of_the_zone() -> None:
    """A client whose own zone is out of service gets the nodes of the others."""
    client = ip_address("10.1.0.9")
    assert nodes_for([out(A), B, C], "availability_zone_affinity", client, 0.0) == (B, C)


@given(POLICIES, st.sets(st.sampled_from([A, B, C]), min_size=1), st.sets(st.sampled_from("abc")), DRAWS)
def test_a_client_always_gets_a_node(policy: RoutingPolicy, nodes: set[Node], bad: set[str], draw: float) -> None:
    """Some node is returned for any health, and one out of service only if all are."""
    known = [out(node) if (node.zone or "")[-1] in bad else node for node in nodes]
    found = nodes_for(known, policy, ip_address("10.1.0.9"), draw)
    assert found
    assert all(node.in_service for node in found) or not any(node.in_service for node in known)
