"""Target groups of network load balancers: their targets get connections."""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import Field, model_validator

from pipeline.balancer.model.attributes import CROSS_ZONE
from pipeline.balancer.model.health_check import HealthCheck
from pipeline.balancer.model.network.attributes import NetworkGroupAttributes
from pipeline.balancer.model.protocol import transports
from pipeline.balancer.model.target_group import TargetGroup
from pipeline.base.errors import FieldError
from pipeline.base.schema import Name


class NetworkTargetGroup(TargetGroup):
    """Targets of a network load balancer, with their health check, stickiness and deregistration."""

    target_type: Literal["ip", "instance", "alb"] = Field(
        "ip",
        description="ip: targets are reached at the container's own address. instance: at a port of 127.0.0.1 that "
        "Docker publishes. Its health check must be HTTP or HTTPS. alb: the target is an application load balancer.",
    )
    load_balancer: Name | None = Field(
        None,
        description="With target_type: alb, the application load balancer that is the target. It gets connections at "
        "its listener on `port`, and sees the addresses of the clients.",
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
            default = "HTTP" if data.get("target_type") == "alb" else "TCP"
            return {**data, "health_check": {**check, "protocol": default}}
        return data

    @model_validator(mode="after")
    def _check_fits(self) -> Self:
        if self.health_check.protocol == "TCP" and self.health_check.path is not None:
            raise FieldError("health_check", "must have protocol: HTTP or HTTPS with a path; the default is TCP")
        return self

    @model_validator(mode="after")
    def _target_fits(self) -> Self:
        if not self.is_alb:
            if self.load_balancer is not None:
                raise FieldError("load_balancer", "needs target_type: alb")
            return self
        if self.protocol != "TCP":
            raise FieldError("protocol", f"must be TCP with target_type: alb, got {self.protocol}")
        if self.health_check.protocol == "TCP":
            raise FieldError("health_check", "must have protocol: HTTP or HTTPS with target_type: alb")
        if self.health_check.port != "traffic-port":
            raise FieldError("health_check", "must have no port with target_type: alb; it checks the group's port")
        if self.attributes.proxy_protocol_v2:
            raise FieldError(
                "attributes",
                "must not set proxy_protocol_v2.enabled with target_type: alb, which sees the client's address anyway",
            )
        if isinstance(self.attributes.cross_zone, bool):
            raise FieldError(
                "attributes", f"must not set {CROSS_ZONE} with target_type: alb, which has the load balancer's setting"
            )
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
    def has_proxy_header(self) -> bool:
        """True if connections to targets begin with a PROXY header."""
        return self.attributes.proxy_protocol_v2 or self.is_alb

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
