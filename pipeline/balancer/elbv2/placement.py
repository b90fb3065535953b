"""Where a load balancer's nodes are: its subnets, and the address of the node in each of their zones."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Any

from pipeline.aws.errors import AwsError
from pipeline.aws.service import Call
from pipeline.balancer.elbv2.api import Api
from pipeline.balancer.elbv2.network import Subnet
from pipeline.balancer.registry import Registry

Address = IPv4Address | IPv6Address
Mapped = dict[str, str]
"""What is kept of a subnet: SubnetId, ZoneName, AllocationId, and IpAddress if no other load balancer has it."""


@dataclass(frozen=True)
class Placement:
    """The subnets that a call names, each with its mapping.

    `has_addresses`: the load balancer has nodes with addresses, unlike a gateway load balancer.
    """

    subnets: Sequence[Subnet]
    mappings: Sequence[Mapped]
    has_addresses: bool = True

    @property
    def vpc(self) -> str:
        """The VPC of all subnets."""
        return self.subnets[0].vpc

    def mapped(self, registry: Registry, owner: str, name: str) -> list[Mapped]:
        """Return what is to be kept of each subnet, for a load balancer that exists or is to be made.

        It keeps the addresses that it has. Raises `InvalidSubnet` if a zone has no address left.
        """
        if not self.has_addresses:
            return [*self.mappings]
        known = next((one for one in registry.load_balancers.values() if (one.owner, one.name) == (owner, name)), None)
        zones = known.settings.zones if known else None
        own = [zone.address for zone in zones.values()] if isinstance(zones, dict) else []
        others = (one for one in registry.load_balancers.values() if one is not known)
        taken = {address for one in others for address in one.settings.bind_addresses}
        return [
            _with_address(subnet, mapping, own, taken, f"{owner}/{name}")
            for subnet, mapping in zip(self.subnets, self.mappings, strict=True)
        ]

    def zones(self, mapped: Sequence[Mapped]) -> dict[str, str] | tuple[str, ...]:
        """Return the address of the node in each zone, or the names of the zones. `mapped` is what `mapped` returns."""
        if not self.has_addresses:
            return tuple(subnet.zone for subnet in self.subnets)
        pairs = zip(self.subnets, mapped, strict=True)
        return {subnet.zone: one.get("IpAddress", str(subnet.nodes.network_address)) for subnet, one in pairs}


def placement(api: Api, call: Call, *, has_addresses: bool) -> Placement:
    """Return the placement that a call asks for. Raises `AwsError` for what does not exist or fit."""
    mappings = _mappings(call.parameters)
    if not has_addresses and any("AllocationId" in one for one in mappings):
        raise AwsError("ValidationError", "Elastic IP addresses cannot be specified for gateway load balancers")
    subnets = _subnets(api, call, mappings)
    located = [_located(api, call, one, subnet) for one, subnet in zip(mappings, subnets, strict=True)]
    return Placement(subnets, located, has_addresses)


def without_own_addresses(mapped: Sequence[Mapped]) -> list[Mapped]:
    """Return what the client has asked for: not the addresses that were chosen for it."""
    return [one if "AllocationId" in one else {k: v for k, v in one.items() if k != "IpAddress"} for one in mapped]


def _mappings(given: Mapping[str, Any]) -> list[Mapped]:
    """Return subnets as mappings. Those that choose addresses of AWS's network are refused."""
    if given.get("Subnets") and given.get("SubnetMappings"):
        raise AwsError("ValidationError", "You can specify either subnets or subnet mappings, but not both")
    found = [dict(one) for one in given.get("SubnetMappings", ())]
    found = found or [{"SubnetId": id_} for id_ in given.get("Subnets", ())]
    if not found:
        raise AwsError("ValidationError", "At least one subnet must be specified")
    for one in found:
        for name in sorted(one.keys() - {"SubnetId", "AllocationId"}):
            reason = f"{name} is not supported in a subnet mapping: a node has an address of its zone"
            raise AwsError("InvalidConfigurationRequest", reason)
        if "SubnetId" not in one:
            raise AwsError("ValidationError", "A subnet ID must be specified in a subnet mapping")
    return found


def _subnets(api: Api, call: Call, mappings: Sequence[Mapped]) -> list[Subnet]:
    found = []
    for one in mappings:
        subnet = api.network.subnet(call.owner, one["SubnetId"])
        if subnet is None:
            raise AwsError("SubnetNotFound", f"The subnet ID '{one['SubnetId']}' does not exist")
        found.append(subnet)
    if len({subnet.vpc for subnet in found}) > 1:
        raise AwsError("InvalidConfigurationRequest", "All subnets must belong to the same VPC")
    if len({subnet.zone for subnet in found}) < len(found):
        reason = "A load balancer cannot be attached to multiple subnets in the same Availability Zone"
        raise AwsError("InvalidConfigurationRequest", reason)
    return found


def _located(api: Api, call: Call, mapping: Mapped, subnet: Subnet) -> Mapped:
    """Return a mapping with the name of the zone as its client knows it, and with the address that it allocates."""
    located = {**mapping, "ZoneName": subnet.availability_zone}
    if "AllocationId" in mapping:
        address = api.network.address(call.owner, mapping["AllocationId"])
        if address is None:
            raise AwsError("AllocationIdNotFound", f"The allocation ID '{mapping['AllocationId']}' does not exist")
        located["IpAddress"] = address
    return located


def _with_address(subnet: Subnet, mapping: Mapped, own: Sequence[Address], taken: Collection[str], name: str) -> Mapped:
    """Return a mapping with an address that no other load balancer has: the present one if it is in the zone."""
    if "IpAddress" in mapping or subnet.nodes.num_addresses == 1:
        return mapping
    kept = next((str(each) for each in own if each in subnet.nodes), None)
    address = kept or _free_address(subnet.nodes, taken, name)
    if address is None:
        reason = f"Not enough IP space available in {subnet.id}: all addresses of {subnet.nodes} are in use"
        raise AwsError("InvalidSubnet", reason)
    return {**mapping, "IpAddress": address}


def _free_address(nodes: IPv4Network | IPv6Network, taken: Collection[str], name: str) -> str | None:
    """Return a free address. The name decides where the search begins.

    So a load balancer that is deleted and made again usually gets its former address, and no other one gets it soon.
    """
    # The first and the last address of a network are special.
    first, count = (1, nodes.num_addresses - 2) if nodes.num_addresses > 2 else (0, nodes.num_addresses)
    start = int.from_bytes(hashlib.sha256(name.encode()).digest())
    candidates = (str(nodes[first + (start + step) % count]) for step in range(count))
    return next((each for each in candidates if each not in taken), None)
