"""The addresses of this machine."""

from __future__ import annotations

import socket
from ipaddress import IPv4Address, ip_address

from pipeline.balancer.names.node import Address

# Reserved for documentation (RFC 5737, RFC 3849), so the way there is the default route.
_ANYWHERE = {4: "192.0.2.1", 6: "2001:db8::1"}
_FAMILIES = {4: socket.AF_INET, 6: socket.AF_INET6}


def address_towards(client: Address | None, version: int) -> Address | None:
    """Return the machine's address of an IP version by which a client reaches it. Sends nothing.

    For a client on this machine, or of the other IP version, it is the address of the default route. Without such a
    route, the result is 127.0.0.1, or None for IPv6.
    """
    near = client is not None and client.version == version and not client.is_loopback
    with socket.socket(_FAMILIES[version], socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((str(client) if near else _ANYWHERE[version], 9))
        except OSError:
            return IPv4Address("127.0.0.1") if version == 4 else None
        return ip_address(probe.getsockname()[0].partition("%")[0])
