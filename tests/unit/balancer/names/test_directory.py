"""The names of load balancers."""

from __future__ import annotations

from typing import Any

import pytest

from pipeline.balancer.names.directory import Directory
from tests.support.zoned import ZONES, application, declared, network


def healthy(*_: str) -> bool:
    return True


def addresses(directory: Directory) -> dict[str, list[str]]:
    """Return the addresses of each name, or the IP versions of all addresses of the machine."""
    return {
        name: [str(node.address) for node in entry.nodes] or [f"any IPv{version}" for version in entry.versions]
        for name, entry in directory.entries.items()
    }


def test_names_of_a_load_balancer_with_zones() -> None:
    """It has a name with and one without its owner, and one for each zone."""
    directory = Directory.from_registry(declared(shop={"edge": application(zones=ZONES)}), healthy)
    assert addresses(directory) == {
        "edge.shop": ["127.0.1.1", "127.0.2.1"],
        "edge": ["127.0.1.1", "127.0.2.1"],
        "zone-a.edge.shop": ["127.0.1.1"],
        "zone-b.edge.shop": ["127.0.2.1"],
    }


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({}, ["any IPv4", "any IPv6"]),
        ({"address": "::"}, ["any IPv4", "any IPv6"]),
        ({"address": "0.0.0.0"}, ["any IPv4"]),
        ({"address": "2001:db8::7"}, ["2001:db8::7"]),
        ({"scheme": "internal"}, ["127.0.0.1"]),
    ],
)
def test_a_load_balancer_without_zones(keys: dict[str, Any], expected: list[str]) -> None:
    """It has its own address, or every address of the machine."""
    found = addresses(Directory.from_registry(declared(shop={"edge": application(**keys)}), healthy))
    assert found == {"edge.shop": expected, "edge": expected}


def test_the_ipv6_address_of_another_load_balancer() -> None:
    """A load balancer on every address has no IPv6 address if another one has one on its port, which might be it."""
    one = {"edge": application(), "six": application(address="2001:db8::7"), "rest": application(9000)}
    found = addresses(Directory.from_registry(declared(shop=one), healthy))
    assert (found["edge"], found["rest"]) == (["any IPv4"], ["any IPv4", "any IPv6"])


def test_a_name_of_several_load_balancers_does_not_exist() -> None:
    """The short name is missing if two owners have it, and so is a name that differs only in case."""
    registry = declared(
        shop={"edge": application(1, zones=ZONES), "One": application(2), "one": application(3)},
        blog={"edge": application(4), "data": network(5)},
    )
    names = set(Directory.from_registry(registry, healthy).entries)
    assert names == {"edge.shop", "zone-a.edge.shop", "zone-b.edge.shop", "edge.blog", "data.blog", "data"}


def test_a_guest_has_the_addresses_of_its_host() -> None:
    """A load balancer that only adds rules to another one's listener is reached at that one."""
    rule = {"priority": 1, "conditions": [{"path_pattern": ["/b"]}], "action": {"fixed_response": {"status_code": 204}}}
    guest = {"listeners": [{"port": 8000, "rules": [rule]}]}
    directory = Directory.from_registry(
        declared(shop={"edge": application(scheme="internal")}, blog={"side": guest}), healthy
    )
    assert addresses(directory)["side.blog"] == ["127.0.0.1"]


def test_health_and_policy_belong_to_the_nodes() -> None:
    """Each node is in service as its load balancer and zone are, and the policy is that of the load balancer."""
    attributes = {"dns_record.client_routing_policy": "availability_zone_affinity"}
    registry = declared(shop={"data": network(zones=ZONES, attributes=attributes), "edge": application(zones=ZONES)})
    directory = Directory.from_registry(registry, lambda *node: node != ("shop", "data", "zone-b"))
    assert [node.in_service for node in directory.entries["data"].nodes] == [True, False]
    assert [node.in_service for node in directory.entries["edge"].nodes] == [True, True]
    assert directory.entries["data"].policy == "availability_zone_affinity"
    assert directory.entries["edge"].policy == "any_availability_zone"


def test_names_between_the_domain_and_a_load_balancer_exist() -> None:
    """An owner's name exists, although it leads nowhere, because names of load balancers are below it."""
    directory = Directory.from_registry(declared(shop={"edge": application(zones=ZONES)}), healthy)
    assert directory.has_below("shop")
    assert directory.has_below("edge.shop")
    assert not directory.has_below("zone-a.edge.shop")
    assert not directory.has_below("hop")
