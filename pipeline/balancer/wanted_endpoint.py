"""Endpoints of gateway load balancers in the wanted state of a data plane."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.balancer.model.gateway.attached_network import PlaceKind


@dataclass(frozen=True)
class WantedNetwork:
    """A network of an endpoint.

    `place`: the name or path of a namespace, the name of a network of Docker, or empty for this machine. `addresses`
    and `routes` are CIDRs of both families. Without `addresses`, those of a network of Docker are its subnets. Without
    `routes`, the network's default route leads to the endpoint, or this machine's routes to the other networks do.
    """

    name: str
    kind: PlaceKind
    place: str = ""
    addresses: tuple[str, ...] = ()
    routes: tuple[str, ...] = ()


@dataclass(frozen=True)
class WantedEndpoint:
    """An endpoint that may carry packets: its service exists and has accepted it.

    `id`: `vpce-` and 17 hex digits. `owner` and `name` are its own. `load_balancer` is the owner and the name of the
    gateway load balancer that its packets go to. `zone` is None if it is in none.
    """

    id: str
    owner: str
    name: str
    zone: str | None
    load_balancer: tuple[str, str]
    networks: tuple[WantedNetwork, ...]

    @property
    def number(self) -> int:
        """Its id as a number of 64 bits, as appliances see it."""
        return int(self.id.removeprefix("vpce-"), 16) & (2**64 - 1)
