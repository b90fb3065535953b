"""Links, addresses and routes of one network namespace, by the kernel's routing socket."""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterator
from contextlib import suppress
from ipaddress import IPv4Interface, IPv4Network, IPv6Interface, IPv6Network, ip_network
from types import TracebackType
from typing import NamedTuple, Self

from pipeline.balancer.kernel.netlink import ACKNOWLEDGE, DUMP, REQUEST, attribute, attributes

Net = IPv4Network | IPv6Network
Interface = IPv4Interface | IPv6Interface

ROUTE_OWNER = 80
"""The number by which the kernel's routes say that Penstock has made them (`proto 80` in `ip route`)."""

_HEADER = struct.Struct("=IHHII")
_LINK, _ADDRESS, _ROUTE = struct.Struct("=BxHiII"), struct.Struct("=BBBBI"), struct.Struct("=BBBBBBBBI")
_NUMBER, _SHORT = struct.Struct("=I"), struct.Struct("=H")
_NEW_LINK, _DELETE_LINK, _GET_LINK, _NEW_ADDRESS = 16, 17, 18, 20
_NEW_ROUTE, _DELETE_ROUTE, _GET_ROUTE = 24, 25, 26
_CREATE, _EXCLUSIVE, _REPLACE = 0x400, 0x200, 0x100
_ERROR, _DONE = 2, 3
_UP, _NO_ARP, _CARRIER = 0x1, 0x80, 0x10000
_MAC, _NAME, _MTU, _OTHER, _MASTER, _INFO, _ALIAS, _FAMILIES, _NAMESPACE = 1, 3, 4, 5, 10, 18, 20, 26, 28
# No address is made for the device itself, so it sends nothing by itself.
_ADDRESS_MODE, _NO_ADDRESS = 8, b"\x01"
_INFO_KIND, _INFO_DATA, _VETH_PEER = 1, 2, 1
_DESTINATION, _OUT, _TABLE = 1, 4, 15
_MAIN, _LINK_SCOPE, _UNICAST = 254, 253, 1
_SIZE, _TIMEOUT = 1 << 18, 10.0
# The kernel returns only the routes that a request describes.
_SOL_NETLINK, _FILTERED = 270, 12


class Link(NamedTuple):
    """A network device. `master`: the number of the bridge that it is a port of, or 0. `mac`: its address.

    `other`: the number of the other end of its cable, in the namespace of that end, or 0. `mtu`: in bytes.
    `has_carrier`: whether both ends of its cable are up.
    """

    number: int
    name: str
    alias: str
    master: int
    other: int
    mac: bytes
    mtu: int
    is_up: bool
    has_carrier: bool
    has_arp: bool


class Route(NamedTuple):
    """A route of the main table. `owner`: the number of the program that made it. `link`: the device's number, or 0."""

    destination: Net
    link: int
    owner: int


class Veth(NamedTuple):
    """One end of a new pair of devices."""

    name: str
    mac: bytes
    mtu: int
    has_arp: bool = True

    def attributes(self) -> bytes:
        """Return it as attributes of a request."""
        return (
            attribute(_NAME, self.name.encode() + b"\0")
            + attribute(_MAC, self.mac)
            + attribute(_MTU, _NUMBER.pack(self.mtu))
        )

    def header(self) -> bytes:
        """Return the head of a request for it."""
        flags = 0 if self.has_arp else _NO_ARP
        return _LINK.pack(socket.AF_UNSPEC, 0, 0, flags, flags)


class RoutingSocket:
    """The routing socket of the network namespace in which the thread is when it is made.

    It stays in that namespace. All methods raise `OSError` if the kernel refuses something.
    """

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE)
        self._socket.settimeout(_TIMEOUT)
        self._socket.bind((0, 0))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.close()

    def links(self) -> Iterator[Link]:
        """Yield all devices."""
        for body in self._dump(_GET_LINK, _LINK.pack(socket.AF_UNSPEC, 0, 0, 0, 0)):
            _, _, index, flags, _ = _LINK.unpack_from(body)
            found = {kind: bytes(value) for kind, value in attributes(body[_LINK.size :])}
            master, other, mtu = (_NUMBER.unpack(found.get(kind, bytes(4)))[0] for kind in (_MASTER, _OTHER, _MTU))
            name, alias = (_text(found.get(kind)) for kind in (_NAME, _ALIAS))
            is_up, has_carrier, has_arp = flags & _UP, flags & _CARRIER, not flags & _NO_ARP
            mac = found.get(_MAC, b"")
            yield Link(index, name, alias, master, other, mac, mtu, bool(is_up), bool(has_carrier), has_arp)

    def link(self, name: str) -> Link | None:
        """Return a device by its name, or None."""
        return next((link for link in self.links() if link.name == name), None)

    def add_pair(self, near: Veth, far: Veth, namespace: int) -> None:
        """Make two devices joined by a cable: one here, and the far one in the namespace of a descriptor."""
        peer = far.header() + far.attributes() + attribute(_NAMESPACE, _NUMBER.pack(namespace))
        data = attribute(_INFO_KIND, b"veth") + attribute(_INFO_DATA, attribute(_VETH_PEER, peer))
        body = near.header() + near.attributes() + attribute(_INFO, data)
        self._change(_NEW_LINK, _CREATE | _EXCLUSIVE, body)

    def set_up(self, index: int) -> None:
        """Bring a device up."""
        self._change(_NEW_LINK, 0, _LINK.pack(socket.AF_UNSPEC, 0, index, _UP, _UP))

    def set_mtu(self, index: int, mtu: int) -> None:
        """Set the size of the largest packet of a device. Senders with larger ones are told."""
        self._change(_NEW_LINK, 0, _head(index) + attribute(_MTU, _NUMBER.pack(mtu)))

    def set_alias(self, index: int, alias: str) -> None:
        """Give a device a text that people and programs see beside its name."""
        self._change(_NEW_LINK, 0, _head(index) + attribute(_ALIAS, alias.encode()))

    def set_master(self, index: int, master: int) -> None:
        """Make a device a port of a bridge."""
        self._change(_NEW_LINK, 0, _head(index) + attribute(_MASTER, _NUMBER.pack(master)))

    def silence(self, index: int) -> None:
        """Keep the kernel from giving a device an address of IPv6, before it comes up. It then sends nothing itself."""
        mode = attribute(socket.AF_INET6, attribute(_ADDRESS_MODE, _NO_ADDRESS))
        # The kernel may have no IPv6.
        with suppress(OSError):
            self._change(_NEW_LINK, 0, _head(index) + attribute(_FAMILIES, mode))

    def remove(self, index: int) -> None:
        """Remove a device with its addresses and routes. For a cable, the other end is removed too."""
        self._change(_DELETE_LINK, 0, _head(index))

    def add_address(self, index: int, address: Interface) -> None:
        """Give a device an address. Does nothing if it has it."""
        family = socket.AF_INET if address.version == 4 else socket.AF_INET6
        body = _ADDRESS.pack(family, address.network.prefixlen, 0, 0, index)
        body += attribute(1, address.ip.packed) + attribute(2, address.ip.packed)
        self._change(_NEW_ADDRESS, _CREATE | _REPLACE, body)

    def routes(self) -> Iterator[Route]:
        """Yield the routes of the main table, of both families."""
        for family, size in ((socket.AF_INET, 4), (socket.AF_INET6, 16)):
            for body in self._dump(_GET_ROUTE, _ROUTE.pack(family, 0, 0, 0, 0, 0, 0, 0, 0)):
                _, length, _, _, table, owner, _, kind, _ = _ROUTE.unpack_from(body)
                found = {kind: bytes(value) for kind, value in attributes(body[_ROUTE.size :])}
                table = _NUMBER.unpack(found[_TABLE])[0] if _TABLE in found else table
                if table == _MAIN and kind == _UNICAST:
                    destination = ip_network((found.get(_DESTINATION, bytes(size)), length))
                    yield Route(destination, _NUMBER.unpack(found[_OUT])[0] if _OUT in found else 0, owner)

    def destinations(self, index: int) -> frozenset[bytes]:
        """Return what distinguishes the routes of ours to a device, however many others there are."""
        self._socket.setsockopt(_SOL_NETLINK, _FILTERED, 1)
        try:
            return frozenset(
                bytes(body[:2]) + dict(attributes(body[_ROUTE.size :])).get(_DESTINATION, b"")
                for family in (socket.AF_INET, socket.AF_INET6)
                for body in self._dump(
                    _GET_ROUTE,
                    _ROUTE.pack(family, 0, 0, 0, 0, ROUTE_OWNER, 0, 0, 0) + attribute(_OUT, _NUMBER.pack(index)),
                )
            )
        finally:
            self._socket.setsockopt(_SOL_NETLINK, _FILTERED, 0)

    def add_route(self, index: int, destination: Net) -> None:
        """Lead a destination to a device, by a route of ours. Raises `FileExistsError` if it has a route."""
        self._change(_NEW_ROUTE, _CREATE | _EXCLUSIVE, _route(index, destination))

    def remove_route(self, index: int, destination: Net) -> None:
        """Remove a route of ours to a device."""
        self._change(_DELETE_ROUTE, 0, _route(index, destination))

    def _change(self, kind: int, flags: int, body: bytes) -> None:
        self._send(kind, flags | ACKNOWLEDGE, body)
        for _ in self._replies():
            pass

    def _dump(self, kind: int, body: bytes) -> list[memoryview]:
        # All of it is read before the next request.
        self._send(kind, DUMP, body)
        return list(self._replies())

    def _send(self, kind: int, flags: int, body: bytes) -> None:
        self._socket.send(_HEADER.pack(_HEADER.size + len(body), kind, REQUEST | flags, 1, 0) + body)

    def _replies(self) -> Iterator[memoryview]:
        """Yield the messages of a reply, without their heads, until its end or an acknowledgement."""
        while True:
            packet, at = memoryview(self._socket.recv(_SIZE)), 0
            while at + _HEADER.size <= len(packet):
                length, kind, _, _, _ = _HEADER.unpack_from(packet, at)
                body = packet[at + _HEADER.size : at + length]
                if kind == _ERROR and (number := -_error(body)):
                    raise OSError(number, os.strerror(number))
                if kind in {_ERROR, _DONE}:
                    return
                yield body
                at += (max(length, _HEADER.size) + 3) & ~3


def _head(index: int) -> bytes:
    return _LINK.pack(socket.AF_UNSPEC, 0, index, 0, 0)


def _error(body: memoryview) -> int:
    return int(struct.unpack_from("=i", body)[0])


def _route(index: int, destination: Net) -> bytes:
    family = socket.AF_INET if destination.version == 4 else socket.AF_INET6
    scope = _LINK_SCOPE if destination.version == 4 else 0
    head = _ROUTE.pack(family, destination.prefixlen, 0, 0, _MAIN, ROUTE_OWNER, scope, _UNICAST, 0)
    return head + attribute(_DESTINATION, destination.network_address.packed) + attribute(_OUT, _NUMBER.pack(index))


def _text(value: bytes | None) -> str:
    return value.rstrip(b"\0").decode(errors="replace") if value else ""
