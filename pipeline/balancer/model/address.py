"""IP addresses and networks as they are declared."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator

_BROADCAST = IPv4Address("255.255.255.255")


def _no_number(value: Any) -> Any:
    """Refuse numbers, which `ipaddress` takes as addresses: 10 as 0.0.0.10, and true as 0.0.0.1."""
    if isinstance(value, int | float):
        raise ValueError(f"must be text such as 192.0.2.7 or 2001:db8::7, got {str(value).lower()}")
    return value


def _own(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    """Return the address in its usual family. Raises `ValueError` for one to which no program can listen."""
    if isinstance(address, IPv6Address):
        if address.scope_id is not None:
            raise ValueError(f"must have no interface after %, got {address}")
        # The same address to the kernel, whose packets are those of IPv4.
        address = address.ipv4_mapped or address
    if address.is_multicast or address == _BROADCAST:
        raise ValueError(f"must be an address of this machine, got {address}")
    return address


OwnAddress = Annotated[IPv4Address | IPv6Address, BeforeValidator(_no_number), AfterValidator(_own)]
"""An address of this machine, or all of one family. An IPv4 address in IPv6's notation becomes one of IPv4."""

Network = Annotated[IPv4Network | IPv6Network, BeforeValidator(_no_number)]
"""The addresses of a network."""
