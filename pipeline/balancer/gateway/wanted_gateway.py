"""What the gateway agent is to keep, in a file that the plane writes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from pipeline.balancer.agent.wanted_file import WantedFile
from pipeline.balancer.gateway.flow_key import FlowFields

_FILE = "gateway.json"


@dataclass(frozen=True)
class ApplianceGroup:
    """A target group of appliances. `backends`: those of its pools in HAProxy. `zones`: by target, of all it lists."""

    backends: tuple[str, ...]
    zones: Mapping[str, str | None] = field(default_factory=dict)


@dataclass(frozen=True)
class AppliancePool:
    """The appliances of `group` that some endpoints of the load balancer `load_balancer` of `owner` use.

    See `Pool` for `zones` and `away`, and `GatewayPool` for `fields` and `tcp_idle`. `rebalances`: the flows of an
    appliance that is unhealthy or leaving choose again.
    """

    owner: str
    load_balancer: str
    group: str
    fields: FlowFields
    tcp_idle: int
    rebalances: bool
    zones: tuple[str, ...] | None = None
    away: str | None = None

    # As in `Pool`, which the agent does not load, because it is to stay small.

    def has(self, zone: str | None) -> bool:
        """Return whether targets of a zone may get flows, if only because all targets do."""
        return self.zones is None or zone is None or zone in self.zones

    def prefers(self, zone: str | None) -> bool:
        """Return whether healthy targets of a zone get flows."""
        return self.has(zone) and (zone is None or zone != self.away)


@dataclass(frozen=True)
class CarriedNetwork:
    """A network of an endpoint. `id` is that of its attachment, `ifindex` its device. `prefixes`: its addresses."""

    name: str
    id: int
    ifindex: int
    prefixes: tuple[str, ...]


@dataclass(frozen=True)
class CarriedEndpoint:
    """An endpoint that is attached. `id`: 64 bits, as appliances see it. `pool`: the key of its pool."""

    id: int
    pool: str
    networks: tuple[CarriedNetwork, ...]


@dataclass(frozen=True)
class WantedGateway:
    """The endpoints by their ids, their pools by key, and the target groups of these by id.

    `devices`: what the devices of the networks were when they were attached. After a change, they are attached again.
    """

    endpoints: Mapping[str, CarriedEndpoint] = field(default_factory=dict)
    pools: Mapping[str, AppliancePool] = field(default_factory=dict)
    groups: Mapping[str, ApplianceGroup] = field(default_factory=dict)
    devices: str = ""

    @property
    def backends(self) -> list[str]:
        """All backends of HAProxy that it needs to know."""
        return [backend for group in self.groups.values() for backend in group.backends]

    def with_group(self, id_: str, group: ApplianceGroup) -> WantedGateway:
        """Return it with another state of a target group."""
        return replace(self, groups={**self.groups, id_: group})

    def to_json(self) -> str:
        """Return it as text."""
        return json.dumps(asdict(self), indent=1)

    @classmethod
    def from_json(cls, text: str) -> WantedGateway:
        """Parse a text. Raises `ValueError`, `TypeError` or `KeyError` if it is damaged."""
        found = json.loads(text)
        return cls(
            {id_: _endpoint(each) for id_, each in found["endpoints"].items()},
            {key: AppliancePool(**{**each, "zones": _tuple(each["zones"])}) for key, each in found["pools"].items()},
            {id_: ApplianceGroup(tuple(each["backends"]), each["zones"]) for id_, each in found["groups"].items()},
            found["devices"],
        )


class GatewayFile(WantedFile[WantedGateway]):
    """The file of one balancer directory."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory / _FILE, WantedGateway.from_json, WantedGateway())


def _tuple(zones: list[str] | None) -> tuple[str, ...] | None:
    return None if zones is None else tuple(zones)


def _endpoint(found: Mapping[str, Any]) -> CarriedEndpoint:
    networks = (CarriedNetwork(**{**each, "prefixes": tuple(each["prefixes"])}) for each in found["networks"])
    return CarriedEndpoint(found["id"], found["pool"], tuple(networks))
