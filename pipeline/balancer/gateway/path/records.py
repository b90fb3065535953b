"""The keys and values of the maps, as `gate.c` declares them. Pure."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from struct import Struct, unpack
from typing import NamedTuple, get_args

from pipeline.balancer.gateway.flow_key import TCP, Address, FlowKey
from pipeline.balancer.gateway.gateway_state import (
    DropReason,
    FlowRecord,
    FlowState,
    GatewayAttachment,
    GatewayPool,
    GatewayTarget,
    PathTraffic,
)

# In the order of `enum reason` in gate.c.
DROP_REASONS: tuple[DropReason, ...] = get_args(DropReason)
NUMBER = Struct("=I")
_SECOND = 1_000_000_000
_LOW, _HIGH, _FIN_LOW, _FIN_HIGH, _RST = 1, 2, 4, 8, 16 | 32
_IPV6 = 0x80000000
_KEY, _FLOW = Struct("=I16s16s4s4s"), Struct("=QQQI4sII")
_KEY_ENDS, _AGE = Struct("=I39xB"), Struct("=Q16xI4xI4x")
_TARGET_AT = 24
_ATTACHMENT, _ORIGIN_KEY, _PAIR = Struct(">QQ"), Struct(">QQ"), Struct("=II")
_POOL, _TARGET, _LINK = Struct("=QQQIIIxxxx"), Struct("=4s4s2sH"), Struct("=4s4sI")
_ROUTE_KEY, _ROUTE = Struct("=I4s4s16s"), Struct("=I6sxx")
_TRAFFIC, _COUNT = Struct("=QQQ"), Struct("=Q")


class IdleTimes(NamedTuple):
    """Seconds without a packet after which flows end: those of other protocols than TCP, and those that were closed."""

    other: float
    closing: float


class PoolRecord(NamedTuple):
    """A pool in the kernel. Times are seconds. `first_slot`: the number of its first slot in the map of slots."""

    tcp_idle: float
    other_idle: float
    closing_idle: float
    fields: int
    first_slot: int
    slots: int

    @classmethod
    def of(cls, pool: GatewayPool, idle: IdleTimes, first_slot: int) -> PoolRecord:
        """Return the record of a pool."""
        return cls(pool.tcp_idle, idle.other, idle.closing, pool.fields, first_slot, len(pool.slots))

    @classmethod
    def unpacked(cls, value: bytes) -> PoolRecord:
        """Parse a value of the map."""
        *times, fields, first, slots = _POOL.unpack(value)
        tcp, other, closing = (each / _SECOND for each in times)
        return cls(tcp, other, closing, fields, first, slots)

    def packed(self) -> bytes:
        """Return it as a value of the map."""
        times = (round(each * _SECOND) for each in self[:3])
        return _POOL.pack(*times, self.fields, self.first_slot, self.slots)

    def is_over(self, flow: FlowAge, now: float) -> bool:
        """Return whether a flow was without a packet for too long."""
        idle = self.closing_idle if flow.is_closing else self.tcp_idle if flow.is_tcp else self.other_idle
        return now - flow.last_seen > idle


class FlowAge(NamedTuple):
    """What `expire` needs to know of a flow: there may be very many. `target` is 0 if it chooses again."""

    endpoint: int
    target: int
    last_seen: float
    is_tcp: bool
    is_closing: bool

    @classmethod
    def of(cls, key: bytes, value: bytes) -> FlowAge:
        """Parse a key and a value of the map."""
        number, protocol = _KEY_ENDS.unpack(key)
        last_seen, target, seen = _AGE.unpack(value)
        return cls(number & ~_IPV6, target, last_seen / _SECOND, protocol == TCP, _is_closing(seen))


def attachment(endpoint: int, endpoint_id: int, pool: int, attached: GatewayAttachment) -> bytes:
    """Return what the ingress of an attachment needs to know."""
    return _ATTACHMENT.pack(endpoint_id, attached.id) + _PAIR.pack(endpoint, pool)


def numbers(data: bytes) -> tuple[int, int]:
    """Return two numbers: endpoint and pool of an origin, or endpoint and what is counted of the key of a count."""
    one, other = _PAIR.unpack(data)
    return one, other


def origin(endpoint_id: int, attachment_id: int) -> bytes:
    """Return the key of what a returned packet names."""
    return _ORIGIN_KEY.pack(endpoint_id, attachment_id)


def pair(one: int, other: int) -> bytes:
    """Return a key or value of two numbers."""
    return _PAIR.pack(one, other)


def target(wanted: GatewayTarget, mtu: int) -> bytes:
    """Return what the wrapping of a packet needs to know of a target."""
    return _TARGET.pack(wanted.address.packed, wanted.source.packed, wanted.port.to_bytes(2), min(mtu, 0xFFFF))


def link(wanted: GatewayTarget) -> bytes:
    """Return how a target is reached."""
    return _LINK.pack(wanted.source.packed, (wanted.next_hop or wanted.address).packed, wanted.ifindex)


def route_key(endpoint: int, prefix: IPv4Network | IPv6Network) -> bytes:
    """Return the key of the packets of an endpoint to a prefix."""
    number, version = endpoint.to_bytes(4), prefix.version.to_bytes(4)
    address = prefix.network_address.packed.ljust(16, b"\0")
    return _ROUTE_KEY.pack(64 + prefix.prefixlen, number, version, address)


def route(ifindex: int, mac: bytes) -> bytes:
    """Return where packets to a prefix leave. `mac`: of the other end."""
    return _ROUTE.pack(ifindex, mac)


def flow(key: bytes, value: bytes) -> FlowRecord:
    """Return a flow. `target` is 0 if it chooses again."""
    number, low, high, ports, protocol = _KEY.unpack(key)
    seen_at, packets, size, target, cookie, seen, _ = _FLOW.unpack(value)
    is_ipv6 = bool(number & _IPV6)
    low_port, high_port = unpack("!HH", ports)
    parts = FlowKey(_address(low, is_ipv6), _address(high, is_ipv6), int.from_bytes(protocol), low_port, high_port)
    return FlowRecord(
        number & ~_IPV6, parts, target, int.from_bytes(cookie), seen_at / _SECOND, _state(seen), packets, size
    )


def without_target(value: bytes) -> bytes:
    """Return the value of a flow that chooses again at its next packet."""
    return value[:_TARGET_AT] + bytes(4) + value[_TARGET_AT + 4 :]


def traffic(values: bytes) -> PathTraffic:
    """Add up the counts of all processors."""
    return PathTraffic(*(sum(column) for column in zip(*_TRAFFIC.iter_unpack(values), strict=True)))


def total(values: bytes) -> int:
    """Add up the numbers of all processors."""
    return sum(each for (each,) in _COUNT.iter_unpack(values))


def _address(data: bytes, is_ipv6: bool) -> Address:
    return IPv6Address(data) if is_ipv6 else IPv4Address(data[:4])


def _is_closing(seen: int) -> bool:
    return bool(seen & _RST or (seen & _FIN_LOW and seen & _FIN_HIGH))


def _state(seen: int) -> FlowState:
    if _is_closing(seen):
        return "closing"
    return "established" if seen & _LOW and seen & _HIGH else "new"
