"""The wanted state of the kernel's flow tables: listeners, weighted groups and the targets that get new flows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from ipaddress import IPv4Address, IPv6Address
from typing import Literal

Address = IPv4Address | IPv6Address
Protocol = Literal["tcp", "udp"]
Stickiness = Literal["flow", "source"]

# The upper half of each mark, which tells our flows from those of other programs. The lower half is the target's.
MARK_PREFIX = 0x4E4C0000
MARK_MASK = 0xFFFF0000
LAST_MARK = MARK_PREFIX + 0xFFFF
# Marks flows that no target takes, so that they are refused. No target has it.
REFUSED_MARK = MARK_PREFIX
# Each unit of a weight is an element of a map. This many let a share be a tenth of a percent.
MAX_WEIGHT = 1000
# Set in the marks of targets that see the balancer's address instead of the client's.
HIDDEN_BIT = 0x8000


def _is_routed(address: Address) -> bool:
    return not (address.is_loopback or address.is_link_local or address.is_multicast)


@dataclass(frozen=True)
class FlowTarget:
    """A target with the `mark` of its flows, from `MARK_PREFIX` + 1 to `MARK_PREFIX` + 65535.

    A mark belongs to one target as long as flows of it may exist. With `HIDDEN_BIT`, the target sees the balancer's
    address as that of the client.
    """

    id: str
    address: Address
    port: int
    mark: int

    def __post_init__(self) -> None:
        if not MARK_PREFIX < self.mark <= LAST_MARK:
            raise ValueError(f"target {self.id}: mark {self.mark:#x} is not in {MARK_PREFIX + 1:#x}-{LAST_MARK:#x}")
        if not 0 < self.port < 65536:
            raise ValueError(f"target {self.id}: port {self.port} is not in 1-65535")


@dataclass(frozen=True)
class FlowGroup:
    """A target group with its share of a listener's flows, 0 to 1000. Its targets share equally.

    `targets` are those that get new flows. If there are none, the flows of the group are refused.
    """

    weight: int
    targets: tuple[FlowTarget, ...]

    def __post_init__(self) -> None:
        if not 0 <= self.weight <= MAX_WEIGHT:
            raise ValueError(f"weight {self.weight} is not in 0-{MAX_WEIGHT}")


@dataclass(frozen=True)
class FlowListener:
    """A listener. `idle`: a flow without a packet for this long ends; whole seconds, at least 1.

    `address`: 0.0.0.0 or :: is each address of the machine that is not loopback.
    `stickiness`: "source" sends all flows of a client's address to one target while the targets stay the same.
    `skips_containers`: flows that come from a bridge of Docker are left to the machine itself.
    """

    address: Address
    protocol: Protocol
    port: int
    idle: timedelta
    stickiness: Stickiness
    groups: tuple[FlowGroup, ...]
    skips_containers: bool = False

    def __post_init__(self) -> None:
        if not _is_routed(self.address):
            raise ValueError(f"{self}: needs a unicast address that is not loopback or link-local")
        if not 0 < self.port < 65536:
            raise ValueError(f"{self}: the port is not in 1-65535")
        if self.idle < timedelta(seconds=1) or self.idle % timedelta(seconds=1):
            raise ValueError(f"{self}: idle time {self.idle} is not a number of whole seconds from 1")
        for target in self.targets():
            if target.address.version != self.address.version:
                raise ValueError(f"{self}: target {target.id} has an IPv{target.address.version} address")

    def __str__(self) -> str:
        host = f"[{self.address}]" if self.address.version == 6 else str(self.address)
        return f"{self.protocol}://{host}:{self.port}"

    def targets(self) -> Iterator[FlowTarget]:
        """Iterate over the targets of all groups. A target of two groups comes twice."""
        for group in self.groups:
            yield from group.targets


@dataclass(frozen=True)
class FlowState:
    """Everything that one table holds.

    `draining`: targets that get no new flows, but whose open flows are still counted.
    """

    listeners: tuple[FlowListener, ...] = ()
    draining: tuple[FlowTarget, ...] = ()

    def __post_init__(self) -> None:
        bindings = set[tuple[Address, str, int]]()
        for listener in self.listeners:
            binding = (listener.address, listener.protocol, listener.port)
            if binding in bindings:
                raise ValueError(f"{listener}: two listeners have this address, protocol and port")
            bindings.add(binding)
        places = dict[int, FlowTarget]()
        for target in self.targets():
            if (other := places.setdefault(target.mark, target)) != target:
                raise ValueError(f"targets {other.id} and {target.id}: both have the mark {target.mark:#x}")

    def targets(self) -> Iterator[FlowTarget]:
        """Iterate over all targets. One of several groups comes several times."""
        for listener in self.listeners:
            yield from listener.targets()
        yield from self.draining
