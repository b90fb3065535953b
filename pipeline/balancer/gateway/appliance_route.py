"""The way from this machine to an appliance, as the kernel's routes say."""

from __future__ import annotations

import socket
import struct
from ipaddress import IPv4Address

from pipeline.balancer.attachments.device_name import INNER
from pipeline.balancer.gateway.gateway_state import GatewayTarget
from pipeline.balancer.gateway.path.interface import Interface
from pipeline.balancer.kernel.netlink import REQUEST, attribute, attributes

_HEADER, _ROUTE = struct.Struct("=IHHII"), struct.Struct("=BBBBBBBBI")
_NUMBER = struct.Struct("=I")
_NEW_ROUTE, _GET_ROUTE = 24, 26
_DESTINATION, _OUT, _GATEWAY, _SOURCE = 1, 4, 5, 7
_UNICAST, _LOCAL = 1, 2
_SIZE, _TIMEOUT = 65536, 10.0


class Unreachable(Exception):
    """This machine cannot send packets to an address. The text says why, in a sentence without a dot."""


def find_route(address: IPv4Address) -> GatewayTarget:
    """Return how this machine's network namespace reaches an address.

    Raises `Unreachable` without a route, if the address is its own, or over an endpoint or a device that is not one of
    Ethernet.
    Raises `OSError` if the kernel does not answer.
    """
    body = _ROUTE.pack(socket.AF_INET, 32, 0, 0, 0, 0, 0, 0, 0) + attribute(_DESTINATION, address.packed)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE) as kernel:
        kernel.settimeout(_TIMEOUT)
        kernel.send(_HEADER.pack(_HEADER.size + len(body), _GET_ROUTE, REQUEST, 1, 0) + body)
        reply = memoryview(kernel.recv(_SIZE))
    if _HEADER.unpack_from(reply)[1] != _NEW_ROUTE:
        # The kernel reports an error for an address that it does not reach.
        raise Unreachable(f"this machine has no route to {address}")
    kind = _ROUTE.unpack_from(reply, _HEADER.size)[7]
    if kind == _LOCAL:
        raise Unreachable(f"{address} is an address of this machine itself")
    found = {kind: bytes(value) for kind, value in attributes(reply[_HEADER.size + _ROUTE.size :])}
    if kind != _UNICAST or _OUT not in found or _SOURCE not in found:
        raise Unreachable(f"this machine has no route to {address}")
    next_hop = IPv4Address(found[_GATEWAY]) if _GATEWAY in found else None
    ifindex = _NUMBER.unpack(found[_OUT])[0]
    device = _device(ifindex)
    if device is None:
        raise Unreachable(f"the route to {address} leads to a network device that is not one of Ethernet")
    if device.name.startswith(INNER):
        # A packet to the appliance would go to an appliance itself, and again.
        raise Unreachable(f"the route to {address} leads into an endpoint, by device {device.name}")
    return GatewayTarget(address, IPv4Address(found[_SOURCE]), ifindex, next_hop, mtu=device.mtu)


def _device(ifindex: int) -> Interface | None:
    """Return a device of Ethernet, or None if it is none."""
    try:
        found = Interface.of(ifindex)
    except OSError:
        # It has just been removed.
        return None
    return found if found.mac else None
