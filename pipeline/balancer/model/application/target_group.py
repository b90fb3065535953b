"""Target groups: what serves the same thing."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from pipeline.balancer.model.application.attributes import TargetGroupAttributes
from pipeline.balancer.model.health_check import HealthCheck
from pipeline.base.errors import FieldError
from pipeline.base.quantity import Duration
from pipeline.base.schema import Model, Port, between

_DELAY = "deregistration_delay.timeout_seconds"
# What gRPC servers answer to a method that they do not have: the server is there.
_GRPC_UNIMPLEMENTED = "12"


class TargetGroup(Model):
    """Targets that serve the same thing, and how they are checked, chosen and let go."""

    target_type: Literal["ip", "instance", "lambda"] = Field(
        "ip",
        description="How targets are reached: ip by the container's own address, instance by a port of 127.0.0.1 that "
        "Docker publishes for it; lambda are functions, which get ELB's event in place of the request.",
    )
    protocol: Literal["HTTP", "HTTPS"] = Field(
        "HTTP", description="What the targets speak. With HTTPS, their certificates are not verified."
    )
    protocol_version: Literal["HTTP1", "HTTP2", "GRPC"] = Field("HTTP1", description="In which version.")
    port: Port = Field(description="The port the targets listen on, inside their containers.")
    health_check: HealthCheck = Field(HealthCheck(), description="When a target may have traffic.")
    deregistration_delay: Duration = Field(
        timedelta(seconds=30),
        description=f"How long a leaving target may take to finish its requests: 0s to 1h. ELB: `{_DELAY}`, 300, "
        "which may be written in `attributes` instead.",
    )
    attributes: TargetGroupAttributes = Field(TargetGroupAttributes(), description="Settings by ELB's keys.")

    @model_validator(mode="before")
    @classmethod
    def _delay_by_either_name(cls, data: Any) -> Any:
        attributes = data.get("attributes") if isinstance(data, dict) else None
        if not isinstance(attributes, dict) or _DELAY not in attributes:
            return data
        if "deregistration_delay" in data:
            raise FieldError("deregistration_delay", f"is given twice: as {_DELAY} too")
        others = {key: value for key, value in attributes.items() if key != _DELAY}
        return {**data, "attributes": others, "deregistration_delay": f"{attributes[_DELAY]}s"}

    @field_validator("deregistration_delay")
    @classmethod
    def _delay_in_range(cls, value: timedelta) -> timedelta:
        return between(value, "0s", "1h", timedelta(0), timedelta(hours=1))

    @model_validator(mode="after")
    def _matcher_in_range(self) -> Self:
        if self.health_check.matcher is None:
            return self
        if self.health_check.protocol == "TCP":
            raise FieldError("health_check", "a TCP check only connects: it has no matcher")
        least, most = (0, 99) if self.protocol_version == "GRPC" else (200, 499)
        for code in map(int, re.findall(r"\d+", self.health_check.matcher)):
            if not least <= code <= most:
                raise FieldError("health_check", f"matcher holds {code}; codes are {least} to {most}")
        return self

    @property
    def is_lambda(self) -> bool:
        """Whether its targets are functions."""
        return self.target_type == "lambda"

    @property
    def is_grpc(self) -> bool:
        """Whether its targets speak gRPC."""
        return self.protocol_version == "GRPC"

    @property
    def check_path(self) -> str:
        """What a health check asks for."""
        return self.health_check.path or ("/AWS.ALB/healthcheck" if self.is_grpc else "/")

    @property
    def check_matcher(self) -> str:
        """Which codes pass a health check."""
        return self.health_check.matcher or (_GRPC_UNIMPLEMENTED if self.is_grpc else "200")
