"""Load balancers: entry points with listeners."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address
from typing import Literal, Self

from pydantic import Field, model_validator

from pipeline.balancer.model.application.attributes import LoadBalancerAttributes
from pipeline.balancer.model.application.listener import Listener
from pipeline.base.errors import FieldError
from pipeline.base.schema import Model


class _EntryPoint(Model):
    """The type of a load balancer, and the address it listens on."""

    type: Literal["application"] = Field("application", description="An application load balancer (ALB).")
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


class LoadBalancerSettings(_EntryPoint):
    """A load balancer without its listeners, which are separate resources."""

    attributes: LoadBalancerAttributes = LoadBalancerAttributes()


class LoadBalancer(_EntryPoint):
    """An entry point with its listeners."""

    listeners: tuple[Listener, ...] = Field(min_length=1, description="The ports on which it accepts requests.")
    attributes: LoadBalancerAttributes = Field(LoadBalancerAttributes(), description="Settings by ELB's keys.")
