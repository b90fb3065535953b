"""The wanted state of the path of packets, and what it reports. Pure.

All numbers are small, at least 1, and given by the caller, which keeps them over restarts. Times are seconds of
CLOCK_MONOTONIC, as in `time.monotonic` and `bpf_ktime_get_ns`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network, IPv6Network
from typing import Literal, NamedTuple

from pipeline.balancer.gateway.flow_key import FlowFields, FlowKey

FlowState = Literal["new", "established", "closing"]
DropReason = Literal[
    "malformed",  # not a packet of IPv4 or IPv6, or too short for its headers
    "too_large",  # larger than MAX_PACKET or the link to the appliance, or returned in fragments
    "no_target",  # the pool has no appliance
    "table_full",  # no flow can be added
    "no_flow",  # of TCP, and not the first of a flow: its flow has ended
    "not_geneve",  # returned without AWS's three options, or with others first
    "not_a_target",  # returned by an address that is no target of the state, or not that of the flow
    "unknown_flow",  # returned without the cookie of a flow of this endpoint
    "no_network",  # returned with a destination in no attached network
    "failed",  # the kernel could not change or send the packet
]

MAX_PACKET = 8500
"""The most bytes of an inner packet, as in ELB."""
OVERHEAD = 68
"""The bytes that a packet to an appliance has more than the inner packet."""
OTHER_IDLE = 120
"""Seconds after which a flow of another protocol than TCP ends, as in ELB."""
CLOSING_IDLE = 5
"""Seconds after which a flow of TCP ends that has seen RST, or FIN from both sides."""


@dataclass(frozen=True)
class GatewayTarget:
    """An appliance, and how this machine reaches it.

    `source` is the address of this machine that it sees. `next_hop` is None if it is on the link of the interface.
    `mtu` is the size of the interface's largest packet, in bytes.
    """

    address: IPv4Address
    source: IPv4Address
    ifindex: int
    next_hop: IPv4Address | None = None
    port: int = 6081
    mtu: int = MAX_PACKET + OVERHEAD


@dataclass(frozen=True)
class GatewayPool:
    """The targets among which flows of some endpoints choose.

    `tcp_idle`: seconds without a packet after which a flow of TCP ends. A new flow takes the target
    `slots[hash % len(slots)]`. Without slots, its packets are dropped. A flow stays with its target, also if no slot
    has it. A flow whose target is among the `rebalanced`, or not in the state any more, chooses again at its next
    packet, which is dropped if there are no slots. No slot has a target that is rebalanced.
    """

    fields: FlowFields
    tcp_idle: int
    slots: tuple[int, ...]
    rebalanced: frozenset[int] = frozenset()


@dataclass(frozen=True)
class GatewayAttachment:
    """A network of an endpoint. `id`: 64 bits, as appliances see it. `ifindex`: of the side that the path has.

    Packets to its `prefixes` leave here. The longest prefix of all attachments of the endpoint counts.
    """

    id: int
    ifindex: int
    prefixes: tuple[IPv4Network | IPv6Network, ...]


@dataclass(frozen=True)
class GatewayEndpoint:
    """An endpoint. `id`: 64 bits, as appliances see it. `pool`: the number of its pool."""

    id: int
    pool: int
    attachments: tuple[GatewayAttachment, ...]


@dataclass(frozen=True)
class GatewayState:
    """All that the path of one balancer is to do, by number. Packets of a target that is not listed are dropped."""

    targets: Mapping[int, GatewayTarget] = field(default_factory=dict)
    pools: Mapping[int, GatewayPool] = field(default_factory=dict)
    endpoints: Mapping[int, GatewayEndpoint] = field(default_factory=dict)


class FlowRecord(NamedTuple):
    """A flow. `endpoint` and `target` are numbers, `last_seen` is a time. `packets` and `bytes`: of both directions."""

    endpoint: int
    key: FlowKey
    target: int
    cookie: int
    last_seen: float
    state: FlowState
    packets: int
    bytes: int


class PathTraffic(NamedTuple):
    """What a target had of an endpoint since the path was made.

    `flows`: those that chose it. `packets` and `bytes`: inner packets that were sent to it.
    """

    flows: int
    packets: int
    bytes: int


@dataclass(frozen=True)
class PathCounts:
    """The counts of the path, which only grow. `traffic`: by the numbers of endpoint and target in the state.

    `drops`: packets, by the number of the endpoint, or 0 if it is unknown, and by reason.
    """

    traffic: Mapping[tuple[int, int], PathTraffic] = field(default_factory=dict)
    drops: Mapping[tuple[int, DropReason], int] = field(default_factory=dict)
