"""What other services need to know of a network: in which zone a subnet is, and which address that zone has."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass

from pipeline.network.kinds import Kind
from pipeline.network.store import NetworkStore
from pipeline.network.zones import Zone, find_zone


@dataclass(frozen=True)
class Subnet:
    """A subnet. `availability_zone` is the name that its client gave, and `zone` the declared zone that it means."""

    id: str
    vpc_id: str
    cidr: str
    availability_zone: str
    zone: Zone


@dataclass(frozen=True)
class SecurityGroup:
    """A security group of a VPC."""

    id: str
    vpc_id: str
    name: str


class Networks:
    """Finds resources by their ids. Safe to call from any thread. Each method raises `StoreFault`."""

    def __init__(self, store: NetworkStore) -> None:
        self._store = store

    def holding(self) -> AbstractContextManager[None]:
        """Within the block, no network changes. See `NetworkStore.holding`."""
        return self._store.holding()

    def subnet(self, owner: str, subnet_id: str) -> Subnet | None:
        """Return an owner's subnet. None if it does not exist, or if its zone is not declared any more."""
        found = self._store.read(owner).find(owner, Kind.SUBNET, subnet_id)
        zone = found and find_zone(self._store.zones, found.data["AvailabilityZone"])
        if not found or not zone:
            return None
        data = found.data
        return Subnet(found.id, data["VpcId"], data["CidrBlock"], data["AvailabilityZone"], zone)

    def security_group(self, owner: str, group_id: str) -> SecurityGroup | None:
        """Return an owner's security group, or None."""
        found = self._store.read(owner).find(owner, Kind.SECURITY_GROUP, group_id)
        return SecurityGroup(found.id, found.data["VpcId"], found.data["GroupName"]) if found else None

    def default_security_group(self, owner: str, vpc_id: str) -> SecurityGroup | None:
        """Return the default security group of an owner's VPC. None if the VPC does not exist."""
        groups = self._store.read(owner).all(owner, Kind.SECURITY_GROUP, lambda data: data["VpcId"] == vpc_id)
        found = next((each for each in groups if each.data["GroupName"] == "default"), None)
        return SecurityGroup(found.id, vpc_id, "default") if found else None

    def has_vpc(self, owner: str, vpc_id: str) -> bool:
        """Return whether an owner has a VPC."""
        return self._store.read(owner).find(owner, Kind.VPC, vpc_id) is not None

    def address(self, owner: str, allocation_id: str) -> str | None:
        """Return the address that an owner has allocated, or None."""
        found = self._store.read(owner).find(owner, Kind.ADDRESS, allocation_id)
        return str(found.data["PublicIp"]) if found else None
