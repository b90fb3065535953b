"""Packets of IPv4 and IPv6 as bytes, with lengths and without checksums."""

from __future__ import annotations

import struct
from ipaddress import ip_address

ICMP, TCP, UDP, ICMPV6 = 1, 6, 17, 58
SYN, ACK, FIN, RST = 2, 16, 1, 4


def ip(source: str, target: str, protocol: int, payload: bytes = b"", *, fragment: int = 0) -> bytes:
    """Return a packet. `fragment`: the field of IPv4 with the flag and the offset."""
    ends = ip_address(source).packed + ip_address(target).packed
    if ":" in source:
        return struct.pack("!IHBB", 6 << 28, len(payload), protocol, 64) + ends + payload
    return struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(payload), 0, fragment, 64, protocol, 0) + ends + payload


def udp(source: str, target: str, ports: tuple[int, int] = (40000, 53), data: bytes = b"hello") -> bytes:
    """Return a datagram."""
    return ip(source, target, UDP, struct.pack("!HHHH", *ports, 8 + len(data), 0) + data)


def tcp(source: str, target: str, ports: tuple[int, int] = (40000, 443), flags: int = SYN, data: bytes = b"") -> bytes:
    """Return a segment."""
    return ip(source, target, TCP, struct.pack("!HHIIBBHHH", *ports, 1, 0, 0x50, flags, 0, 0, 0) + data)


def icmp(source: str, target: str, kind: int = 8, body: bytes = b"") -> bytes:
    """Return a message of ICMP. `kind`: its type. An error has the packet that it is about as `body`."""
    return ip(source, target, ICMPV6 if ":" in source else ICMP, struct.pack("!BBHI", kind, 0, 0, 0) + body)
