"""The place of a listener on this machine: address, port and transport."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address

from pipeline.balancer.model.endpoint import Endpoint, EntryPoint
from pipeline.balancer.model.protocol import transports


@dataclass(frozen=True)
class Binding:
    """The address, port and transports of a listener.

    `[::]` is every address. `*` is every IPv4 address, and every IPv6 address if no other listener of the port has one.
    """

    address: str
    port: int
    transports: frozenset[str] = transports(None)

    @classmethod
    def of(cls, balancer: EntryPoint, listener: Endpoint) -> Binding:
        """Return the binding of a listener of a load balancer."""
        return cls(balancer.bind_address, listener.port, transports(listener.protocol))

    def overlaps(self, other: Binding) -> bool:
        """Return whether the kernel would refuse to bind both."""
        if self.port != other.port or not self.transports & other.transports:
            return False
        return self.address == other.address or self._covers(other) or other._covers(self)

    def _covers(self, other: Binding) -> bool:
        bare = self.address.strip("[]")
        if bare == "*" or ip_address(bare).is_unspecified:
            return ":" in bare or ":" not in other.address
        return False
