"""GENEVE as appliances of a gateway load balancer get and return it: the payload of UDP to port 6081. Pure.

RFC 8926, with AWS's three options. With the outer headers of IPv4 and UDP, they are 68 bytes.
"""

from __future__ import annotations

from dataclasses import dataclass
from struct import Struct

GENEVE_PORT = 6081
OVERHEAD = 68
"""Bytes before the inner packet, with the outer headers of IPv4 and UDP."""
_AWS = 0x0108
_ENDPOINT, _ATTACHMENT, _COOKIE = 1, 2, 3
_SIZES = {_ENDPOINT: 8, _ATTACHMENT: 8, _COOKIE: 4}
_BASE = Struct("!BBH3xx")
_OPTION = Struct("!HBB")
_WORD = 4
_ETHERTYPES = {4: 0x0800, 6: 0x86DD}


class GeneveError(ValueError):
    """A payload that is not what an appliance of a gateway load balancer gets or returns."""


@dataclass(frozen=True)
class Encapsulated:
    """An inner packet with its options. `endpoint` and `attachment` have 64 bits, `cookie` 32."""

    endpoint: int
    attachment: int
    cookie: int
    packet: bytes

    def encoded(self) -> bytes:
        """Return the payload of UDP. Raises `GeneveError` if the packet is neither IPv4 nor IPv6."""
        version = self.packet[0] >> 4 if self.packet else 0
        if version not in _ETHERTYPES:
            raise GeneveError("the inner packet is neither IPv4 nor IPv6")
        options = (
            _option(_ENDPOINT, self.endpoint) + _option(_ATTACHMENT, self.attachment) + _option(_COOKIE, self.cookie)
        )
        return _BASE.pack(len(options) // _WORD, 0, _ETHERTYPES[version]) + options + self.packet

    @classmethod
    def decoded(cls, payload: bytes) -> Encapsulated:
        """Parse a payload of UDP. Options of others are skipped. Raises `GeneveError` with what is wrong."""
        if len(payload) < _BASE.size:
            raise GeneveError(f"{len(payload)} bytes are too few for a header of GENEVE, which has {_BASE.size}")
        first, flags, ethertype = _BASE.unpack_from(payload)
        if first >> 6:
            raise GeneveError(f"version {first >> 6} of GENEVE is unknown")
        if flags & 0x80:
            raise GeneveError("a control packet has no inner packet")
        end = _BASE.size + (first & 0x3F) * _WORD
        if len(payload) < end:
            raise GeneveError(f"the options end at byte {end}, and the payload at byte {len(payload)}")
        packet = payload[end:]
        _check_version(packet, ethertype)
        options = _options(payload[_BASE.size : end])
        return cls(options[_ENDPOINT], options[_ATTACHMENT], options[_COOKIE], packet)


def _option(type_: int, value: int) -> bytes:
    size = _SIZES[type_]
    return _OPTION.pack(_AWS, type_, size // _WORD) + value.to_bytes(size)


def _options(data: bytes) -> dict[int, int]:
    """Return the values of AWS's options by type. Raises `GeneveError` unless each is there once."""
    found = dict[int, int]()
    while data:
        class_, type_, words = _OPTION.unpack_from(data)
        size = (words & 0x1F) * _WORD
        value, data = data[_OPTION.size : _OPTION.size + size], data[_OPTION.size + size :]
        if len(value) < size:
            raise GeneveError(f"option {type_} of class {class_:#06x} is cut off")
        if class_ == _AWS and type_ in _SIZES:
            if size != _SIZES[type_]:
                raise GeneveError(f"option {type_} has {size} bytes instead of {_SIZES[type_]}")
            if type_ in found:
                raise GeneveError(f"option {type_} is there twice")
            found[type_] = int.from_bytes(value)
    if missing := sorted(_SIZES.keys() - found.keys()):
        raise GeneveError(f"option {missing[0]} of class {_AWS:#06x} is missing")
    return found


def _check_version(packet: bytes, ethertype: int) -> None:
    if ethertype not in _ETHERTYPES.values():
        raise GeneveError(f"protocol type {ethertype:#06x} is neither IPv4 nor IPv6")
    if not packet or _ETHERTYPES.get(packet[0] >> 4) != ethertype:
        raise GeneveError(f"the inner packet is not of protocol type {ethertype:#06x}")
