"""The key of a flow: what both directions of a flow of packets have in common. Pure.

The programs in the kernel compute the same. A flow of TCP or UDP has its ports. Packets of other protocols and all
fragments have none, so the fragments of a packet share a flow. An error of ICMP is part of the flow that it reports on.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address
from struct import Struct
from typing import Literal, NamedTuple

Address = IPv4Address | IPv6Address
FlowFields = Literal[5, 3, 2]
"""What makes a flow: addresses, protocol and ports, or without ports, or addresses only."""

ICMP, TCP, UDP, ICMPV6 = 1, 6, 17, 58
_FRAGMENT = 44
# Headers of IPv6 that may come before the payload: hop-by-hop, routing and destination options. Most packets that are
# valid have fewer than the limit, and the kernel's programs may not loop for long.
_EXTENSIONS = (0, 43, 60)
_MOST_EXTENSIONS = 4
_ERRORS = {ICMP: (3, 4, 5, 11, 12), ICMPV6: (1, 2, 3, 4)}
_ICMP_HEADER = 8
_PORTS = Struct("!HH")
_HASHED = Struct("!16s16sHHI")
_WORDS = Struct("<10I")
_MASK = 0xFFFFFFFF


class FlowKey(NamedTuple):
    """A flow. `low` and `high` are its addresses with their ports, in the order of address and port.

    Fields that the pool does not use, and the ports of other protocols than TCP and UDP, are 0.
    """

    low: Address
    high: Address
    protocol: int
    low_port: int = 0
    high_port: int = 0

    @classmethod
    def of(cls, source: Address, target: Address, protocol: int, ports: tuple[int, int] = (0, 0)) -> FlowKey:
        """Return the key of a packet. `ports`: of source and target. Both directions have the same key."""
        low, high = sorted([(source, ports[0]), (target, ports[1])])
        return cls(low[0], high[0], protocol, low[1], high[1])

    @classmethod
    def of_packet(cls, packet: bytes) -> FlowKey:
        """Return the key of a packet of IPv4 or IPv6. Raises `ValueError` if it is too short or neither."""
        source, target, protocol, payload = parse_packet(packet)
        if protocol in _ERRORS and payload[:1] and payload[0] in _ERRORS[protocol]:
            source, target, protocol, payload = _reported(payload) or (source, target, protocol, b"")
        if protocol in (TCP, UDP) and len(payload) >= _PORTS.size:
            return cls.of(source, target, protocol, _PORTS.unpack_from(payload))
        return cls.of(source, target, protocol)

    def reduced(self, fields: FlowFields) -> FlowKey:
        """Return the key of the flow that it is part of in a pool whose flows have fewer fields."""
        if fields == 5:
            return self
        return self._replace(protocol=self.protocol if fields == 3 else 0, low_port=0, high_port=0)

    def packed(self) -> bytes:
        """Return the 40 bytes that are hashed: addresses in 16 bytes each, ports, protocol, in network order.

        An address of IPv4 is in the first four of its bytes, and the others are 0.
        """
        low, high = (each.packed.ljust(16, b"\0") for each in (self.low, self.high))
        return _HASHED.pack(low, high, self.low_port, self.high_port, self.protocol)

    @property
    def hash(self) -> int:
        """The MurmurHash3 of the packed key, with 32 bits and seed 0."""
        return murmur3(self.packed())


def murmur3(data: bytes) -> int:
    """Return MurmurHash3_x86_32 of 40 bytes, with seed 0. Its words are little-endian."""
    found = 0
    for word in _WORDS.unpack(data):
        mixed = word * 0xCC9E2D51 & _MASK
        mixed = (mixed << 15 | mixed >> 17) & _MASK
        found ^= mixed * 0x1B873593 & _MASK
        found = (found << 13 | found >> 19) & _MASK
        found = (found * 5 + 0xE6546B64) & _MASK
    found ^= len(data)
    found = (found ^ found >> 16) * 0x85EBCA6B & _MASK
    found = (found ^ found >> 13) * 0xC2B2AE35 & _MASK
    return found ^ found >> 16


class ParsedPacket(NamedTuple):
    """The addresses of a packet, the protocol of its payload, and this. That of a fragment is left out."""

    source: Address
    target: Address
    protocol: int
    payload: bytes


def _reported(error: bytes) -> ParsedPacket | None:
    """Return the packet that an error of ICMP reports on, or None if it is not a packet."""
    try:
        return parse_packet(error[_ICMP_HEADER:])
    except ValueError:
        return None


def parse_packet(packet: bytes) -> ParsedPacket:
    """Parse a packet of IPv4 or IPv6. Raises `ValueError` if it is too short or neither."""
    version = packet[0] >> 4 if packet else 0
    if version == 4 and len(packet) >= 20:
        start = (packet[0] & 15) * 4
        is_fragment = int.from_bytes(packet[6:8]) & 0x3FFF
        payload = b"" if is_fragment else packet[start:]
        return ParsedPacket(IPv4Address(packet[12:16]), IPv4Address(packet[16:20]), packet[9], payload)
    if version == 6 and len(packet) >= 40:
        protocol, payload = _after_extensions(packet[6], packet[40:])
        return ParsedPacket(IPv6Address(packet[8:24]), IPv6Address(packet[24:40]), protocol, payload)
    raise ValueError("not a packet of IPv4 or IPv6")


def _after_extensions(protocol: int, payload: bytes) -> tuple[int, bytes]:
    for _ in range(_MOST_EXTENSIONS):
        if protocol == _FRAGMENT and payload:
            return payload[0], b""
        if protocol not in _EXTENSIONS or len(payload) < 2:
            break
        protocol, payload = payload[0], payload[(payload[1] + 1) * 8 :]
    return protocol, payload
