"""Target groups of network load balancers: their targets get connections."""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import Field, model_validator

from pipeline.balancer.model.health_check import HealthCheck
from pipeline.balancer.model.network.attributes import NetworkGroupAttributes
from pipeline.balancer.model.protocol import transports
from pipeline.balancer.model.target_group import TargetGroup
from pipeline.base.errors import FieldError


class NetworkTargetGroup(TargetGroup):
    """Targets of a network load balancer, with their health check, stickiness and deregistration."""

    target_type: Literal["ip", "instance"] = Field(
        "ip",
        description="ip: targets are reached at the container's own address. instance: at a port of 127.0.0.1 that "
        "Docker publishes. Its health check must be HTTP or HTTPS.",
    )
    protocol: Literal["TCP", "TLS", "UDP", "TCP_UDP"] = Field(
        description="Protocol of the targets. With TLS, their certificates are not verified. Health checks of UDP and "
        "TCP_UDP connect to a port of TCP, the same one unless health_check.port names another."
    )
    health_check: HealthCheck = Field(
        HealthCheck(protocol="TCP"),
        description="Health check that a target must pass to get traffic. Its protocol is TCP if left out.",
    )
    attributes: NetworkGroupAttributes = Field(NetworkGroupAttributes(), description="Settings by ELB's keys.")

    @model_validator(mode="before")
    @classmethod
    def _check_connects(cls, data: Any) -> Any:
        """Set the protocol of a check, because a check that is stored by itself has the default of the other kind."""
        check = data.get("health_check", {}) if isinstance(data, dict) else None
        if isinstance(check, dict) and "protocol" not in check:
            return {**data, "health_check": {**check, "protocol": "TCP"}}
        return data

    @model_validator(mode="after")
    def _check_fits(self) -> Self:
        if self.health_check.protocol == "TCP" and self.health_check.path is not None:
            raise FieldError("health_check", "must have protocol: HTTP or HTTPS with a path; the default is TCP")
        return self

    @model_validator(mode="after")
    def _client_address_fits(self) -> Self:
        preserve, is_udp = self.attributes.preserve_client_ip, "udp" in transports(self.protocol)
        if is_udp and preserve is False:
            raise FieldError("attributes", f"preserve_client_ip.enabled must be true with protocol: {self.protocol}")
        if is_udp and self.target_type != "ip":
            raise FieldError("target_type", f"must be ip with protocol: {self.protocol}")
        if is_udp and self.attributes.proxy_protocol_v2:
            raise FieldError("attributes", f"proxy_protocol_v2.enabled must be false with protocol: {self.protocol}")
        return self

    @property
    def preserves_client(self) -> bool:
        """True if targets see the client's own address."""
        preserve = self.attributes.preserve_client_ip
        return "udp" in transports(self.protocol) if preserve is None else preserve

    @property
    def codes_of_check(self) -> tuple[int, int]:
        return 200, 599

    @property
    def check_matcher(self) -> str:
        return self.health_check.matcher or "200-399"
