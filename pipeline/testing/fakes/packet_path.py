"""A path of packets in memory. A test sends packets as networks and appliances do, and moves its clock."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address

from pipeline.balancer.gateway.flow_key import TCP, Address, FlowKey, parse_packet
from pipeline.balancer.gateway.gateway_state import (
    CLOSING_IDLE,
    MAX_PACKET,
    OTHER_IDLE,
    DropReason,
    FlowRecord,
    FlowState,
    GatewayAttachment,
    GatewayState,
    GatewayTarget,
    PathCounts,
    PathTraffic,
)
from pipeline.balancer.gateway.geneve import Encapsulated, GeneveError
from pipeline.base.errors import BalancerFault

_FIN, _SYN, _RST, _ACK = 1, 2, 4, 16
_FLAGS = 13


class Dropped(Exception):
    """A packet that the path has dropped. `reason`: why."""

    def __init__(self, reason: DropReason) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass
class _Flow:
    cookie: int
    target: int
    tcp: bool
    has_ports: bool
    seen: float
    state: FlowState = "new"
    packets: int = 0
    bytes: int = 0
    closed_by: frozenset[Address] = frozenset()


class FakePath:
    """A `PacketPath` in memory. `now` is its clock. While `fault` is set, every call fails with it."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.state = GatewayState()
        self.fault: BalancerFault | None = None
        self.is_removed = False
        self._flows: dict[tuple[int, FlowKey], _Flow] = {}
        self._traffic: dict[tuple[int, int], Counter[str]] = {}
        self._drops = Counter[tuple[int, DropReason]]()
        self._cookies = itertools.count(1)

    # As networks and appliances

    def send(self, attachment: int, packet: bytes) -> tuple[GatewayTarget, bytes]:
        """Send a packet from an attached network. Return the appliance and the payload of UDP that it gets.

        Raises `Dropped`.
        """
        number, found = self._attachment(attachment)
        if len(packet) > MAX_PACKET:
            raise self._dropped(number, "too_large")
        try:
            key = FlowKey.of_packet(packet)
        except ValueError:
            raise self._dropped(number, "malformed") from None
        flow = self._chosen(number, key, packet)
        self._touch(flow, packet)
        traffic = self._traffic.setdefault((number, flow.target), Counter())
        traffic.update(packets=1, bytes=len(packet))
        endpoint = self.state.endpoints[number]
        wrapped = Encapsulated(endpoint.id, found.id, flow.cookie, packet)
        return self.state.targets[flow.target], wrapped.encoded()

    def give_back(self, source: IPv4Address, payload: bytes) -> tuple[int, bytes]:
        """Return a payload of UDP from an address. Return the attachment that gets the packet, and the packet.

        Raises `Dropped`.
        """
        if source not in (each.address for each in self.state.targets.values()):
            raise self._dropped(0, "not_a_target")
        try:
            found = Encapsulated.decoded(payload)
        except GeneveError:
            raise self._dropped(0, "not_geneve") from None
        number = next((n for n, each in self.state.endpoints.items() if each.id == found.endpoint), 0)
        if not number:
            raise self._dropped(0, "unknown_flow")
        pool = self.state.pools[self.state.endpoints[number].pool]
        flow = self._flows.get((number, FlowKey.of_packet(found.packet).reduced(pool.fields)))
        if flow is None or flow.cookie != found.cookie:
            raise self._dropped(number, "unknown_flow")
        if flow.target not in self.state.targets or self.state.targets[flow.target].address != source:
            raise self._dropped(number, "not_a_target")
        return self._network(number, parse_packet(found.packet).target), found.packet

    # As the agent

    def write(self, state: GatewayState) -> None:
        self._fail()
        self.state, self.is_removed = state, False
        self._flows = {key: flow for key, flow in self._flows.items() if key[0] in state.endpoints}
        self._traffic = {
            key: one for key, one in self._traffic.items() if key[0] in state.endpoints and key[1] in state.targets
        }

    def flows(self) -> Iterator[FlowRecord]:
        self._fail()
        for (endpoint, key), flow in self._flows.items():
            if flow.target:
                yield FlowRecord(
                    endpoint, key, flow.target, flow.cookie, flow.seen, flow.state, flow.packets, flow.bytes
                )

    def end_flows(self, target: int) -> None:
        self._fail()
        for flow in self._flows.values():
            if flow.target == target:
                flow.target = 0

    def expire(self, now: float) -> Mapping[tuple[int, int], int]:
        self._fail()
        self._flows = {key: flow for key, flow in self._flows.items() if now - flow.seen <= self._idle(key[0], flow)}
        return Counter((endpoint, flow.target) for (endpoint, _), flow in self._flows.items() if flow.target)

    def counts(self) -> PathCounts:
        self._fail()
        traffic = {key: PathTraffic(one["flows"], one["packets"], one["bytes"]) for key, one in self._traffic.items()}
        return PathCounts(traffic, dict(self._drops))

    def close(self) -> None:
        self._fail()

    def remove(self) -> None:
        self._fail()
        self.__init__()  # type: ignore[misc]
        self.is_removed = True

    def _fail(self) -> None:
        if self.fault:
            raise self.fault

    def _dropped(self, endpoint: int, reason: DropReason) -> Dropped:
        self._drops[endpoint, reason] += 1
        return Dropped(reason)

    def _attachment(self, id_: int) -> tuple[int, GatewayAttachment]:
        found = ((n, each) for n, endpoint in self.state.endpoints.items() for each in endpoint.attachments)
        return next((n, each) for n, each in found if each.id == id_)

    def _network(self, endpoint: int, target: Address) -> int:
        fitting = [
            (prefix.prefixlen, each.id)
            for each in self.state.endpoints[endpoint].attachments
            for prefix in each.prefixes
            if prefix.version == target.version and target in prefix
        ]
        if not fitting:
            raise self._dropped(endpoint, "no_network")
        return max(fitting)[1]

    def _chosen(self, endpoint: int, packet_key: FlowKey, packet: bytes) -> _Flow:
        pool = self.state.pools[self.state.endpoints[endpoint].pool]
        key, flags = packet_key.reduced(pool.fields), _tcp_flags(packet)
        is_first = flags is not None and flags & (_SYN | _ACK) == _SYN
        flow = self._flows.get((endpoint, key))
        if flow and (self.now - flow.seen > self._idle(endpoint, flow) or (is_first and flow.state == "closing")):
            # Ports that are used again are a new flow.
            flow = None
        if flow is None and flags is not None and not is_first:
            raise self._dropped(endpoint, "no_flow")
        if flow and flow.target in self.state.targets and flow.target not in pool.rebalanced:
            return flow
        if not pool.slots:
            raise self._dropped(endpoint, "no_target")
        target = pool.slots[key.hash % len(pool.slots)]
        if flow is None:
            flow = self._flows[endpoint, key] = _Flow(
                next(self._cookies), target, key.protocol == TCP, pool.fields == 5, self.now
            )
        flow.target = target
        self._traffic.setdefault((endpoint, target), Counter()).update(flows=1)
        return flow

    def _touch(self, flow: _Flow, packet: bytes) -> None:
        flow.seen, flow.packets, flow.bytes = self.now, flow.packets + 1, flow.bytes + len(packet)
        flags = _tcp_flags(packet)
        if not flow.has_ports or flags is None:
            # One of the connections of a flow does not end it.
            return
        if flags & _FIN:
            flow.closed_by |= {parse_packet(packet).source}
        if flags & _RST or len(flow.closed_by) == 2:
            flow.state = "closing"
        elif flags & _ACK and flow.state == "new":
            flow.state = "established"

    def _idle(self, endpoint: int, flow: _Flow) -> float:
        if flow.state == "closing":
            return CLOSING_IDLE
        return self.state.pools[self.state.endpoints[endpoint].pool].tcp_idle if flow.tcp else OTHER_IDLE


def _tcp_flags(packet: bytes) -> int | None:
    """Return the flags of a packet of TCP, or None for one of another protocol."""
    _, _, protocol, payload = parse_packet(packet)
    return payload[_FLAGS] if protocol == TCP and len(payload) > _FLAGS else None
