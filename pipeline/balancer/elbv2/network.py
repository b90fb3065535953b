"""The interface of what ELBv2's operations need to know of the network around the balancer."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network
from typing import Protocol

from pipeline.balancer.model.tls import Certificate


@dataclass(frozen=True)
class Subnet:
    """A subnet and its VPC. `availability_zone` is the name that its client has given.

    `zone` is the declared zone that it stands for, and `nodes` has the addresses of this machine that the zone's nodes
    may have. If it is a single one, all load balancers share it. Else each has one of its own.
    """

    id: str
    vpc: str
    availability_zone: str
    zone: str
    nodes: IPv4Network | IPv6Network


@dataclass(frozen=True)
class Endpoint:
    """The address and the port at which a target of type `instance` or `lambda` is reached."""

    address: str
    port: int


class Network(Protocol):
    """Subnets, security groups, VPCs, certificates and instances, as EC2 and ACM name them, of one owner.

    Every call only reads, and returns None or False for what does not exist. Safe to use from any thread.
    """

    def holding(self) -> AbstractContextManager[None]:
        """Within the block, nothing that these calls have found is deleted. Others wait for its end.

        Take it before the balancer's lock. One thread must not take it twice.
        """

    def subnet(self, owner: str, id_: str) -> Subnet | None:
        """Return a subnet by its id."""

    def zone(self, name: str) -> str | None:
        """Return the declared zone of a name, which may be AWS's, such as `us-east-1a`."""

    def has_vpc(self, owner: str, id_: str) -> bool:
        """Return whether a VPC exists."""

    def has_security_group(self, owner: str, id_: str) -> bool:
        """Return whether a security group exists."""

    def address(self, owner: str, allocation: str) -> str | None:
        """Return an allocated (elastic) address of this machine."""

    def certificate(self, owner: str, arn: str) -> Certificate | None:
        """Return the files of a certificate by its ARN."""

    def instance(self, owner: str, id_: str, port: int) -> Endpoint | None:
        """Return how a port of a running instance is reached. An id may be the name of a container."""

    def function(self, owner: str, name: str) -> Endpoint | None:
        """Return how a function is reached."""
