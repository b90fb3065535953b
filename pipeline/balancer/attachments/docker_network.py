"""Networks of Docker, as its engine describes them."""

from __future__ import annotations

import http.client
import json
import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Interface, IPv4Network
from typing import Any
from urllib.parse import quote

from pipeline.balancer.attachments.fault import AttachmentFault, Conflict, Missing

INHIBIT = "com.docker.network.bridge.inhibit_ipv4"
_BRIDGE_NAME = "com.docker.network.bridge.name"
_MTU, _DEFAULT_MTU = "com.docker.network.driver.mtu", 1500
_SOCKET = "/var/run/docker.sock"
_TIMEOUT = 10.0


class EngineAway(AttachmentFault):
    """The engine does not answer, so nothing is known of its networks."""


@dataclass(frozen=True)
class DockerNetwork:
    """A network of Docker: the name of its bridge, its IPv4 subnets, and its gateway's address with the prefix."""

    bridge: str
    subnets: tuple[str, ...]
    gateway: str
    mtu: int


def find_network(name: str, environment: Mapping[str, str] = os.environ) -> DockerNetwork:
    """Return a network of the engine of this machine.

    Raises `EngineAway` if the engine does not answer, `Missing` for an unknown network, and `Conflict` for one that
    cannot be attached.
    """
    return described(name, _ask(f"/networks/{quote(name, safe='')}", name, environment))


def described(name: str, found: Mapping[str, Any]) -> DockerNetwork:
    """Return a network from its description by the engine. Raises `Conflict` for one that cannot be attached."""
    options = found.get("Options") or {}
    if (driver := found.get("Driver")) != "bridge":
        raise Conflict(f"network {name} of Docker has the driver {driver}", hint="attach a bridge network")
    if options.get(INHIBIT) != "true":
        raise Conflict(
            f"the gateway address of Docker's network {name} is its bridge's",
            hint=f"make the network again: docker network create --opt {INHIBIT}=true {name}",
        )
    pools = [pool for pool in (found.get("IPAM") or {}).get("Config") or [] if ":" not in pool["Subnet"]]
    if not pools:
        raise Conflict(f"network {name} of Docker has no IPv4 subnet", hint="make it with --subnet")
    return DockerNetwork(
        bridge=options.get(_BRIDGE_NAME) or f"br-{found['Id'][:12]}",
        subnets=tuple(pool["Subnet"] for pool in pools),
        gateway=_gateway(name, pools[0]),
        mtu=int(options.get(_MTU) or _DEFAULT_MTU),
    )


def _gateway(name: str, pool: Mapping[str, Any]) -> str:
    """Return the address of the gateway with its prefix. Docker takes the first of the subnet unless one is given."""
    subnet = IPv4Network(pool["Subnet"])
    if given := pool.get("Gateway"):
        return str(IPv4Interface((given, subnet.prefixlen)))
    if pool.get("IPRange"):
        raise Conflict(
            f"the gateway address of Docker's network {name} is unknown", hint="make the network again with --gateway"
        )
    return str(IPv4Interface((subnet.network_address + 1, subnet.prefixlen)))


def _ask(path: str, name: str, environment: Mapping[str, str]) -> Mapping[str, Any]:
    address = environment.get("DOCKER_HOST") or f"unix://{_SOCKET}"
    if not address.startswith("unix://"):
        raise Conflict(
            f"network {name} of Docker is on another machine: DOCKER_HOST is {address}",
            hint="use the engine of this machine",
        )
    connection = _UnixConnection(address.removeprefix("unix://"))
    try:
        connection.request("GET", path)
        reply = connection.getresponse()
        text = reply.read()
    except (OSError, http.client.HTTPException) as error:
        raise EngineAway(f"Docker at {address} does not answer: {error}") from None
    finally:
        connection.close()
    if reply.status == http.client.NOT_FOUND:
        raise Missing(f"there is no network {name} of Docker")
    if reply.status != http.client.OK:
        raise EngineAway(f"Docker at {address} answers {reply.status}")
    found: dict[str, Any] = json.loads(text)
    return found


class _UnixConnection(http.client.HTTPConnection):
    """A connection over a Unix socket."""

    def __init__(self, path: str) -> None:
        super().__init__("docker", timeout=_TIMEOUT)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)
