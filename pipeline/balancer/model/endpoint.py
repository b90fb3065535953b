"""The addresses of load balancers and the ports of their listeners."""

from __future__ import annotations

from abc import ABC, abstractmethod
from ipaddress import IPv4Address, IPv6Address
from typing import Literal, Self

from pydantic import Field, model_validator

from pipeline.balancer.model.attributes import Attributes
from pipeline.base.errors import FieldError
from pipeline.base.schema import Model, Port


class EntryPointAttributes(Attributes):
    """Attributes of a load balancer of either type."""

    deletion_protection: bool = Field(
        False,
        alias="deletion_protection.enabled",
        description="Refuses `pipeline down`, and a pipeline.yaml without this load balancer.",
    )


class EntryPoint(Model):
    """The type of a load balancer, and the address it listens on."""

    type: str
    scheme: Literal["internet-facing", "internal"] = Field(
        "internet-facing",
        description="internet-facing: listens on every address of the machine, IPv4 and IPv6. internal: on 127.0.0.1.",
    )
    address: IPv4Address | IPv6Address | None = Field(
        None, description="The only address to listen on. It replaces the scheme's. 0.0.0.0: every IPv4 address."
    )

    @model_validator(mode="after")
    def _address_fits(self) -> Self:
        if self.address and self.scheme == "internal" and self.address.is_global:
            raise FieldError("address", f"must not be public with scheme: internal, got {self.address}")
        return self

    @property
    def bind_address(self) -> str:
        """The address that its listeners are bound to. `*` is every address."""
        if self.address:
            return f"[{self.address}]" if self.address.version == 6 else str(self.address)
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
        """The URL by which clients on this machine reach it."""
