"""The listeners that the kernel carries, in a file that the plane writes and the flow agent reads."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

from pipeline.balancer.agent.wanted_file import WantedFile

_FILE = "flows.json"


@dataclass(frozen=True)
class GroupFlows:
    """A pool of a target group. `needed`: the number of healthy targets below which all of them get flows.

    `hidden`: its targets see the balancer's address as that of the client. `cuts`: the flows of a target end when it
    becomes unhealthy.
    """

    needed: int = 1
    hidden: bool = True
    cuts: bool = True


@dataclass(frozen=True)
class ListenerFlows:
    """A node of a listener of the load balancer `load_balancer` of `owner`.

    `address`: one address, 0.0.0.0 or ::. `idle`: in seconds. `groups`: pools and weights.
    `is_optional`: HAProxy carries what the kernel does not. `sticky`: see `FlowListener`.
    """

    owner: str
    load_balancer: str
    address: str
    port: int
    protocol: Literal["tcp", "udp"]
    idle: int
    sticky: bool
    is_optional: bool
    groups: tuple[tuple[str, int], ...]

    @property
    def node(self) -> tuple[str, str, int, str]:
        """What distinguishes it from other nodes of its protocol."""
        return self.owner, self.load_balancer, self.port, self.address


@dataclass(frozen=True)
class WantedFlows:
    """The listeners, and the pools of target groups that they forward to, by their backends in HAProxy."""

    listeners: tuple[ListenerFlows, ...] = ()
    groups: Mapping[str, GroupFlows] = field(default_factory=dict)

    def to_json(self) -> str:
        """Return it as text."""
        return json.dumps(asdict(self), indent=1)

    @classmethod
    def from_json(cls, text: str) -> WantedFlows:
        """Parse a text. Raises `ValueError`, `TypeError` or `KeyError` if it is damaged."""
        found = json.loads(text)
        listeners = (
            ListenerFlows(**{**each, "groups": tuple(map(tuple, each["groups"]))}) for each in found["listeners"]
        )
        return cls(tuple(listeners), {id_: GroupFlows(**each) for id_, each in found["groups"].items()})


class FlowFile(WantedFile[WantedFlows]):
    """The file of one balancer directory."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory / _FILE, WantedFlows.from_json, WantedFlows())
