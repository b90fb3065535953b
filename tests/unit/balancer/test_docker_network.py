"""Networks of Docker as the engine describes them, with exact messages for those that cannot be attached."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from pipeline.balancer.attachments.docker_network import DockerNetwork, EngineAway, described, find_network
from pipeline.balancer.attachments.fault import AttachmentFault, Conflict, Missing

_OPTION = "com.docker.network.bridge.inhibit_ipv4"
# As engine 20.10 describes a network that was made with --subnet.
_NETWORK: dict[str, Any] = {
    "Name": "inspected",
    "Id": "8e7569503846bde15f6d780d0596d6fecee171eb432498aa00bb95e55263019a",
    "Driver": "bridge",
    "IPAM": {"Driver": "default", "Config": [{"Subnet": "10.231.77.0/24"}]},
    "Options": {_OPTION: "true"},
}


def network(config: list[dict[str, str]] | None = None, **changes: Any) -> dict[str, Any]:
    """Return the description of a network with some changes."""
    pools = _NETWORK["IPAM"] if config is None else {"Driver": "default", "Config": config}
    return {**_NETWORK, "IPAM": pools, **changes}


def test_the_gateway_is_the_first_address() -> None:
    """Docker does not tell the address that it has chosen itself."""
    found = described("inspected", network())
    assert found == DockerNetwork("br-8e7569503846", ("10.231.77.0/24",), "10.231.77.1/24", 1500)


def test_all_is_as_it_was_chosen() -> None:
    """The name of the bridge, the gateway and the size of packets may be given. IPv6 is left to the bridge."""
    options = {_OPTION: "true", "com.docker.network.bridge.name": "br0", "com.docker.network.driver.mtu": "9000"}
    pools = [{"Subnet": "fd00::/64"}, {"Subnet": "10.0.0.0/16", "IPRange": "10.0.9.0/24", "Gateway": "10.0.9.254"}]
    found = described("inspected", network(pools, Options=options))
    assert found == DockerNetwork("br0", ("10.0.0.0/16",), "10.0.9.254/16", 9000)


@pytest.mark.parametrize(
    ("found", "message", "hint"),
    [
        (
            network(Options={}),
            "the gateway address of Docker's network inspected is its bridge's",
            f"make the network again: docker network create --opt {_OPTION}=true inspected",
        ),
        (network(Options=None), "the gateway address of Docker's network inspected is its bridge's", None),
        (network(Driver="macvlan"), "network inspected of Docker has the driver macvlan", "attach a bridge network"),
        (network([{"Subnet": "fd00::/64"}]), "network inspected of Docker has no IPv4 subnet", "make it with --subnet"),
        (network(IPAM=None), "network inspected of Docker has no IPv4 subnet", "make it with --subnet"),
        (
            network([{"Subnet": "10.0.0.0/16", "IPRange": "10.0.9.0/24"}]),
            "the gateway address of Docker's network inspected is unknown",
            "make the network again with --gateway",
        ),
    ],
)
def test_what_cannot_be_attached(found: dict[str, Any], message: str, hint: str | None) -> None:
    """The message names the network, and the hint what to do."""
    with pytest.raises(Conflict) as error:
        described("inspected", found)
    assert error.value.message == message
    assert hint is None or error.value.hint == hint


def test_the_engine_is_asked(tmp_path: Path) -> None:
    """A network is found by its name, which may need quoting."""
    with _engine(tmp_path / "docker.sock", 200, network()) as (environment, asked):
        assert find_network("a b", environment).bridge == "br-8e7569503846"
    assert asked[0].startswith(b"GET /networks/a%20b HTTP/1.1\r\n")


def test_a_missing_network_may_come_later(tmp_path: Path) -> None:
    """It is no conflict."""
    with (
        _engine(tmp_path / "docker.sock", 404, {"message": "no"}) as (environment, _),
        pytest.raises(Missing, match="there is no network inspected of Docker"),
    ):
        find_network("inspected", environment)


def test_an_engine_that_is_away_says_nothing_of_its_networks(tmp_path: Path) -> None:
    """What is attached stays, also if the engine fails."""
    with pytest.raises(EngineAway, match="does not answer"):
        find_network("inspected", {"DOCKER_HOST": f"unix://{tmp_path}/none.sock"})
    with (
        _engine(tmp_path / "docker.sock", 500, {}) as (environment, _),
        pytest.raises(EngineAway, match="answers 500"),
    ):
        find_network("inspected", environment)


def test_another_machine_has_no_bridge_here() -> None:
    """The message names the engine."""
    with pytest.raises(AttachmentFault) as error:
        find_network("inspected", {"DOCKER_HOST": "tcp://192.0.2.1:2375"})
    assert error.value.message == (
        "network inspected of Docker is on another machine: DOCKER_HOST is tcp://192.0.2.1:2375"
    )


@contextmanager
def _engine(path: Path, status: int, answer: Any) -> Iterator[tuple[dict[str, str], list[bytes]]]:
    """Within the block, a server answers one request. Yields its environment, and what it was asked."""
    listening, asked = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM), list[bytes]()
    listening.bind(str(path))
    listening.listen()

    def serve() -> None:
        connection, _ = listening.accept()
        with connection:
            asked.append(connection.recv(4096))
            body = json.dumps(answer).encode()
            connection.sendall(f"HTTP/1.1 {status} X\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)

    server = threading.Thread(target=serve)
    server.start()
    with listening:
        yield {"DOCKER_HOST": f"unix://{path}"}, asked
        server.join()
