"""The addresses of load balancers and the ports of their listeners."""

from __future__ import annotations

from abc import ABC, abstractmethod
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from itertools import combinations
from typing import Annotated, ClassVar, Literal, Protocol, Self

from pydantic import Field, field_validator, model_validator

from pipeline.balancer.model.address import Network, OwnAddress
from pipeline.balancer.model.attributes import Attributes
from pipeline.base.errors import FieldError
from pipeline.base.schema import Model, Name, Port, Shorthand

_LOCAL = "localhost"


class HasUrl(Protocol):
    """A listener of any kind."""

    @property
    def url(self) -> str:
        """The URL by which clients on this machine reach it, or an empty text."""


class EntryPointAttributes(Attributes):
    """Attributes of application and network load balancers."""

    cross_zone: bool
    zonal_shift: bool = Field(
        True,
        alias="zonal_shift.config.enabled",
        description="Allows `pipeline balancer shift` to take a zone out of service. ELB: false.",
    )

    deletion_protection: bool = Field(
        False,
        alias="deletion_protection.enabled",
        description="Refuses `pipeline down`, and a pipeline.yaml without this load balancer.",
    )


class Zone(Shorthand):
    """The node of a load balancer in one zone."""

    shorthand: ClassVar[str] = "address"

    address: OwnAddress = Field(
        description="The fixed address of the node, one of this machine's. All of 127.0.0.0/8 are."
    )
    network: Network | None = Field(
        None, description="The addresses of clients in this zone, for dns_record.client_routing_policy."
    )

    @field_validator("address")
    @classmethod
    def _is_one_address(cls, address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
        if address.is_unspecified:
            raise ValueError(f"must be the address of one node, got {address}")
        return address

    @property
    def bind_address(self) -> str:
        """The address that listeners are bound to in this zone."""
        return _bound(self.address)


class EntryPoint(Model):
    """The type of an application or network load balancer, and the addresses it listens on."""

    type: str
    scheme: Literal["internet-facing", "internal"] = Field(
        "internet-facing",
        description="internet-facing: listens on every address of the machine, IPv4 and IPv6. internal: on 127.0.0.1.",
    )
    address: OwnAddress | None = Field(
        None, description="The only address to listen on. It replaces the scheme's. 0.0.0.0: every IPv4 address."
    )
    zones: Annotated[dict[Name, Zone], Field(min_length=1)] | None = Field(
        None,
        description="The zones in which the load balancer is enabled, by name, each with the address of its node. "
        "They replace the scheme's address. Without zones, the zones of targets have no effect.",
    )

    @model_validator(mode="after")
    def _address_fits(self) -> Self:
        if self.address and self.scheme == "internal" and self.address.is_global:
            raise FieldError("address", f"must not be public with scheme: internal, got {self.address}")
        return self

    @model_validator(mode="after")
    def _zones_fit(self) -> Self:
        if self.zones is None:
            return self
        if self.address:
            raise FieldError("address", "must be left out with zones, because each zone has its own")
        for name, zone in self.zones.items():
            if self.scheme == "internal" and zone.address.is_global:
                raise FieldError("zones", f"{name} must not have a public address with scheme: internal")
        for (name, one), (other, two) in combinations(self.zones.items(), 2):
            if one.address == two.address:
                raise FieldError("zones", f"{name} and {other} must not both have the address {one.address}")
            if one.network and two.network and _overlap(one.network, two.network):
                raise FieldError("zones", f"{name} and {other} must not have networks that overlap")
        return self

    @property
    def bind_addresses(self) -> tuple[str, ...]:
        """The addresses that its listeners are bound to: those of its zones, or one."""
        return tuple(zone.bind_address for zone in self.zones.values()) if self.zones else (self.bind_address,)

    def urls(self, listener: HasUrl) -> tuple[str, ...]:
        """Return the URLs by which clients on this machine reach a listener, one for each address."""
        if self.zones is None and (self.address is None or self.address.is_unspecified):
            return (listener.url,)
        return tuple(listener.url.replace(_LOCAL, address) for address in self.bind_addresses)

    @property
    def bind_address(self) -> str:
        """The address that its listeners are bound to if it has no zones. `*` is every address."""
        if self.address:
            return _bound(self.address)
        return "*" if self.scheme == "internet-facing" else "127.0.0.1"


class Endpoint(Model, ABC):
    """The protocol and port of a listener."""

    protocol: str | None
    port: Port = Field(description="The port on this machine.")

    @property
    @abstractmethod
    def secure(self) -> bool:
        """True if clients use TLS."""

    @property
    @abstractmethod
    def url(self) -> str:
        """The URL by which clients on this machine reach it, if it listens on `localhost`. See `EntryPoint.urls`."""


def _bound(address: IPv4Address | IPv6Address) -> str:
    return f"[{address}]" if address.version == 6 else str(address)


def _overlap(one: IPv4Network | IPv6Network, other: IPv4Network | IPv6Network) -> bool:
    return one.version == other.version and one.overlaps(other)
