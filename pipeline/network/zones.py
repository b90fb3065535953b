"""The zones that are declared to the daemon. Each has addresses of this machine, and stands for a data centre."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_network
from itertools import combinations

from pipeline.base.errors import ConfigError

_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?")
# A name as AWS gives it to its zones: a region and a letter.
_AWS_NAME = re.compile(r"[a-z]{2}(-[a-z]+)+-[0-9]+([a-z])")


@dataclass(frozen=True)
class Zone:
    """A zone. The nodes of all load balancers in it have `address`.

    If that is a prefix, each load balancer has an address of its own in it.
    """

    name: str
    address: str

    @property
    def nodes(self) -> IPv4Network | IPv6Network:
        """The addresses that nodes may have."""
        return ip_network(self.address)


DEFAULT_ZONES = (Zone("local-a", "127.0.0.1"), Zone("local-b", "127.0.0.2"))
ELASTIC_ADDRESSES = IPv4Network("127.64.0.0/16")
"""The addresses that clients allocate. No zone has one of them."""
_LOOPBACK = IPv4Network("127.0.0.0/8")


def parse_zones(texts: Sequence[str]) -> tuple[Zone, ...]:
    """Return the zones of `NAME=ADDRESS` and `NAME=PREFIX` texts, or the default ones. Raises `ConfigError`."""
    zones = tuple(map(_parse, texts)) or DEFAULT_ZONES
    for one, other in combinations(zones, 2):
        if one.name == other.name:
            raise ConfigError(f"--zone: two zones have the name {one.name}", hint="give each zone its own name")
        if one.nodes.overlaps(other.nodes):
            shared = min(one, other, key=lambda zone: zone.nodes.num_addresses).address
            raise ConfigError(f"--zone: two zones have the address {shared}", hint="give each zone its own address")
    return zones


def find_zone(zones: Sequence[Zone], name: str) -> Zone | None:
    """Return the zone with a name. A name such as us-east-1b is the second zone of all that are declared."""
    declared = next((zone for zone in zones if zone.name == name), None)
    if declared is not None:
        return declared
    letter = _AWS_NAME.fullmatch(name)
    index = ord(letter[2]) - ord("a") if letter else len(zones)
    return zones[index] if index < len(zones) else None


def _parse(text: str) -> Zone:
    name, _, address = text.partition("=")
    try:
        nodes = ip_network(address)
        if not _NAME.fullmatch(name) or nodes.network_address.is_unspecified:
            raise ValueError(text)
    except ValueError:
        raise ConfigError(
            f"--zone: {text} is not a zone",
            hint="use NAME=ADDRESS or NAME=PREFIX, such as --zone local-a=127.0.0.1 or --zone local-a=127.10.0.0/24",
        ) from None
    if nodes.num_addresses > 1 and (isinstance(nodes, IPv6Network) or not nodes.subnet_of(_LOOPBACK)):
        raise ConfigError(f"--zone: the prefix of {text} must be in {_LOOPBACK}", hint="this machine has all of those")
    if nodes.overlaps(ELASTIC_ADDRESSES):
        raise ConfigError(f"--zone: {text} is in {ELASTIC_ADDRESSES}", hint="clients allocate these: use others")
    return Zone(name, str(nodes if nodes.num_addresses > 1 else nodes.network_address))
