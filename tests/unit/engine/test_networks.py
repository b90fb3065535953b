"""The choice of addresses in a pipeline's network."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network
from typing import Any

import pytest

from pipeline.base.errors import EngineFault
from pipeline.engine.docker.networks import DockerNetworks
from pipeline.engine.labels import LABEL_HOME, LABEL_PIPELINE, LABEL_ROLE, ROLE_TEST

FIRST, LAST = 2, 6  # of a network with eight addresses, whose first host is the bridge


class Client:
    """A client of the SDK with one network of eight addresses."""

    def __init__(self) -> None:
        self.running: set[int] = set()
        self.stopped: set[int] = set()

    labels: dict[str, str] | None = None

    def networks(self, names: list[str]) -> list[dict[str, Any]]:
        """Return the one network."""
        found = {"Name": names[0], "Labels": self.labels, "IPAM": {"Config": [{"Subnet": "10.0.0.0/29"}]}}
        return [] if names == ["gone"] else [found]

    def inspect_network(self, name: str) -> dict[str, Any]:
        """Return the addresses of running containers, one of which has none yet."""
        endpoints = [{"IPv4Address": f"10.0.0.{number}/29"} for number in self.running]
        return {"Containers": dict(enumerate([*endpoints, {"IPv4Address": ""}]))}

    def containers(self, **_: Any) -> list[dict[str, Any]]:
        """Return the pipeline's stopped containers."""
        return [
            {
                "Id": str(number),
                "Names": [f"/{number}"],
                "State": "exited",
                "ImageID": "",
                "Labels": {},
                "Created": 0,
                "NetworkSettings": {"Networks": {"n": {"IPAMConfig": {"IPv4Address": f"10.0.0.{number}"}}}},
            }
            for number in self.stopped
        ]


@pytest.fixture
def client() -> Client:
    """A client without containers."""
    return Client()


def free(networks: DockerNetworks) -> int:
    return int(networks.free_address("shop")) - int(IPv4Address("10.0.0.0"))


def test_the_next_higher_address_is_chosen_and_then_the_first_again(client: Client) -> None:
    """The next higher address is chosen, not the lowest free one."""
    networks = DockerNetworks(client, "home")
    client.running, client.stopped = {3}, {4}
    assert [free(networks) for _ in range(3)] == [5, 6, 2]


def test_an_address_is_chosen_again_only_if_no_other_is_free(client: Client) -> None:
    """The address chosen longest ago is repeated if no other is free."""
    networks = DockerNetworks(client, "home")
    client.running = {4, 5}
    assert [free(networks) for _ in range(7)] == [6, 2, 3, 6, 2, 3, 6]


def test_a_network_without_a_free_address_is_a_fault(client: Client) -> None:
    """A full network raises a fault, and its containers keep their addresses."""
    client.running, client.stopped = {2, 3, 4}, {5, 6}
    with pytest.raises(EngineFault, match=r"no free address in 10\.0\.0\.0/29, the network of shop"):
        free(DockerNetworks(client, "home"))


def test_the_address_of_the_bridge_is_never_chosen(client: Client) -> None:
    """The network, bridge and broadcast addresses are never chosen."""
    networks = DockerNetworks(client, "home")
    assert {free(networks) for _ in range(20)} == set(range(FIRST, LAST + 1))
    assert networks.ensure("shop") == IPv4Network("10.0.0.0/29")


@pytest.mark.parametrize(
    ("network", "labels", "address"),
    [
        ("backend", None, None),
        ("backend", {"a": "b"}, None),
        ("penstock-home-other", {LABEL_HOME: "home", LABEL_PIPELINE: "other"}, "10.0.0.6"),
        ("penstock-home-other.test1", {LABEL_HOME: "home", LABEL_PIPELINE: "other", LABEL_ROLE: ROLE_TEST}, None),
        ("penstock-else-other", {LABEL_HOME: "else", LABEL_PIPELINE: "other"}, None),
        ("gone", None, None),
    ],
)
def test_a_guest_takes_no_address_of_a_stopped_container(
    client: Client, network: str, labels: dict[str, str] | None, address: str | None
) -> None:
    """In the network of another pipeline of the home, Penstock chooses the address. Docker does in any other."""
    client.labels, client.stopped = labels, {5}
    assert DockerNetworks(client, "home").address_for_guest(network) == address
