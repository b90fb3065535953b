"""The place of a listener on this machine: addresses, port and transport."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address
from itertools import product
from typing import Protocol

from pipeline.balancer.model.protocol import transports


class _EntryPoint(Protocol):
    """A load balancer of any kind."""

    @property
    def bind_addresses(self) -> tuple[str, ...]:
        """The addresses that its listeners are bound to."""


class _Endpoint(Protocol):
    """A listener of any kind."""

    @property
    def port(self) -> int:
        """Its port."""

    @property
    def protocol(self) -> str | None:
        """Its protocol."""


@dataclass(frozen=True)
class Binding:
    """The addresses, port and transports of a listener.

    That of a gateway load balancer's listener has no address, so it overlaps with none.
    `[::]` is every address. `*` is every IPv4 address, and every IPv6 address if no other listener of the port has one.
    """

    addresses: tuple[str, ...]
    port: int
    transports: frozenset[str] = transports(None)

    @classmethod
    def of(cls, balancer: _EntryPoint, listener: _Endpoint) -> Binding:
        """Return the binding of a listener of a load balancer."""
        return cls(balancer.bind_addresses, listener.port, transports(listener.protocol))

    def overlaps(self, other: Binding) -> bool:
        """Return whether the kernel would refuse to bind both."""
        if self.port != other.port or not self.transports & other.transports:
            return False
        pairs = product(self.addresses, other.addresses)
        return any(one == two or _covers(one, two) or _covers(two, one) for one, two in pairs)


def _covers(address: str, other: str) -> bool:
    bare = address.strip("[]")
    if bare == "*" or ip_address(bare).is_unspecified:
        return ":" in bare or ":" not in other
    return False
