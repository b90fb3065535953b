"""The balancer of a home as ELBv2, in the home's networks and with its certificates."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from pipeline.aws.service import ACCOUNT
from pipeline.balancer.balancer import Balancer
from pipeline.balancer.elbv2.network import Endpoint, Subnet
from pipeline.balancer.elbv2.view import View
from pipeline.balancer.model.tls import Certificate
from pipeline.balancer.resources import LoadBalancerResource
from pipeline.certificates.store import CertificateStore
from pipeline.network.attached import Instance, Interface
from pipeline.network.kinds import fixed_id
from pipeline.network.lookup import Networks
from pipeline.network.zones import Zone, find_zone

_RUNNING = ("running", "restarting", "paused")
# The port of Lambda's images.
_FUNCTION_PORT = 8080


@dataclass(frozen=True)
class MachineNetwork:
    """The networks, certificates and containers of a home, as ELBv2's operations need them."""

    networks: Networks
    zones: Sequence[Zone]
    certificates: CertificateStore
    instances: Callable[[str], Sequence[Instance]]

    @contextmanager
    def holding(self) -> Iterator[None]:
        with self.networks.holding(), self.certificates.holding():
            yield

    def subnet(self, owner: str, id_: str) -> Subnet | None:
        found = self.networks.subnet(owner, id_)
        if found is None:
            return None
        return Subnet(found.id, found.vpc_id, found.availability_zone, found.zone.name, found.zone.nodes)

    def zone(self, name: str) -> str | None:
        found = find_zone(self.zones, name)
        return found.name if found else None

    def has_vpc(self, owner: str, id_: str) -> bool:
        return self.networks.has_vpc(owner, id_)

    def has_security_group(self, owner: str, id_: str) -> bool:
        return self.networks.security_group(owner, id_) is not None

    def address(self, owner: str, allocation: str) -> str | None:
        return self.networks.address(owner, allocation)

    def certificate(self, owner: str, arn: str) -> Certificate | None:
        found = self.certificates.find(owner, arn)
        return Certificate(certificate=str(self.certificates.file(found))) if found else None

    def instance(self, owner: str, id_: str, port: int) -> Endpoint | None:
        running = (one for one in self.instances(owner) if one.id == id_ and one.state in _RUNNING and one.address)
        found = next(running, None)
        return Endpoint(found.address, port) if found else None

    def function(self, owner: str, name: str) -> Endpoint | None:
        return self.instance(owner, name, _FUNCTION_PORT)


def interfaces(balancer: Balancer, owner: str) -> Sequence[Interface]:
    """Return the nodes of an owner's load balancers that were made in subnets."""
    view = View(balancer.registry(), owner, "", ACCOUNT)
    return [node for one in view.load_balancers for node in _nodes(view, one)]


def _nodes(view: View, balancer: LoadBalancerResource) -> list[Interface]:
    kept: Mapping[str, Any] = balancer.kept
    name = view.arn(balancer).partition(":loadbalancer/")[2]
    zones = balancer.settings.zones
    addresses = [str(zone.address) for zone in zones.values()] if isinstance(zones, dict) else []
    return [
        Interface(
            id=fixed_id("eni", balancer.id, subnet["SubnetId"]),
            description=f"ELB {name}",
            subnet_id=subnet["SubnetId"],
            address=address,
            groups=tuple(kept.get("security_groups", ())),
            is_network=balancer.settings.type == "network",
        )
        for subnet, address in zip(kept.get("subnets", ()), addresses, strict=False)
    ]


def certificate_users(balancer: Balancer, owner: str) -> Mapping[str, Sequence[str]]:
    """Return the ARNs of the load balancers that use each certificate, by its ARN."""
    view = View(balancer.registry(), owner, "", ACCOUNT)
    found: dict[str, dict[str, None]] = {}
    for one in view.registry.certificates.values():
        if one.owner == owner:
            user = view.arn(view.balancer_of(view.listener_of(one)))
            found.setdefault(view.arn(one), {})[user] = None
    return {arn: tuple(users) for arn, users in found.items()}
