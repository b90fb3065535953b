"""Target groups of gateway load balancers: their targets are appliances, which get packets in GENEVE."""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from pipeline.balancer.model.gateway.attributes import GatewayGroupAttributes
from pipeline.balancer.model.gateway.refused_keys import refuse_keys
from pipeline.balancer.model.health_check import HealthCheck
from pipeline.balancer.model.target_group import TargetGroup
from pipeline.base.errors import FieldError
from pipeline.base.schema import Port

GENEVE_PORT = 6081
"""The port of UDP on which every appliance gets packets."""
CHECK_PORT = 80
"""ELB's default port of the health check of appliances."""
_REFUSED = {
    "protocol_version": "it is for protocol: HTTP and HTTPS",
    "load_balancer": "it is for target_type: alb, and the targets of protocol GENEVE are appliances",
    "hold_time": "it is for protocol: HTTP and HTTPS",
}


class GatewayTargetGroup(TargetGroup):
    """Appliances behind a gateway load balancer, with their health check, flow stickiness and failover."""

    target_type: Literal["ip"] = Field(
        "ip",
        description="ip: appliances are reached at the container's own address. The API also has instance, which "
        "means the same address.",
    )
    protocol: Literal["GENEVE"] = Field(
        description="Each packet of a client or a server goes to an appliance in GENEVE, and comes back the same way."
    )
    port: Port = Field(GENEVE_PORT, description="Port of UDP on which the appliances listen. Always 6081, as in ELB.")
    health_check: HealthCheck = Field(
        HealthCheck(protocol="TCP", port=CHECK_PORT),
        description="Health check that an appliance must pass to get new flows. Left out, its protocol is TCP and its "
        "port 80, as in ELB.",
    )
    attributes: GatewayGroupAttributes = Field(GatewayGroupAttributes(), description="Settings by ELB's keys.")

    @model_validator(mode="before")
    @classmethod
    def _says_why(cls, data: Any) -> Any:
        refuse_keys(data, _REFUSED)
        return data

    @model_validator(mode="before")
    @classmethod
    def _check_has_defaults(cls, data: Any) -> Any:
        check = data.get("health_check", {}) if isinstance(data, dict) else None
        if isinstance(check, dict):
            return {**data, "health_check": {"protocol": "TCP", "port": CHECK_PORT, **check}}
        return data

    @field_validator("target_type", mode="before")
    @classmethod
    def _is_reached_by_address(cls, value: object) -> object:
        if value in ("instance", "lambda", "alb"):
            raise ValueError(f"must be ip with protocol: GENEVE, whose packets go to the appliance itself, got {value}")
        return value

    @field_validator("port")
    @classmethod
    def _is_of_geneve(cls, port: int) -> int:
        if port != GENEVE_PORT:
            raise ValueError(f"must be {GENEVE_PORT} with protocol: GENEVE, or left out, got {port}")
        return port

    @model_validator(mode="after")
    def _check_fits(self) -> Self:
        check = self.health_check
        if check.port == "traffic-port":
            raise FieldError(
                ("health_check", "port"),
                f"must be a number with protocol: GENEVE, such as {CHECK_PORT}; {GENEVE_PORT} is a port of UDP, to "
                "which no check connects",
            )
        if check.protocol == "TCP" and check.path is not None:
            raise FieldError("health_check", "must have protocol: HTTP or HTTPS with a path; the default is TCP")
        return self

    @property
    def codes_of_check(self) -> tuple[int, int]:
        return 200, 599

    @property
    def check_matcher(self) -> str:
        return self.health_check.matcher or "200-399"
