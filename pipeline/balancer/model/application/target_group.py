"""Target groups of application load balancers: their targets get requests."""

from __future__ import annotations

from datetime import timedelta
from typing import Literal, Self

from pydantic import Field, field_validator, model_validator
from pydantic.json_schema import SkipJsonSchema

from pipeline.balancer.model.application.attributes import ApplicationGroupAttributes
from pipeline.balancer.model.attributes import CROSS_ZONE
from pipeline.balancer.model.target_group import TargetGroup
from pipeline.base.errors import FieldError
from pipeline.base.quantity import Duration

# The response of a gRPC server to an unknown method, which shows that the server runs.
_GRPC_UNIMPLEMENTED = "12"


class ApplicationTargetGroup(TargetGroup):
    """Targets that serve the same application, with their health check, algorithm and deregistration."""

    target_type: Literal["ip", "instance", "lambda"] = Field(
        "ip",
        description="ip: targets are reached at the container's own address. instance: at a port of 127.0.0.1 that "
        "Docker publishes. lambda: targets are functions and get ELB's event instead of the request.",
    )
    protocol: Literal["HTTP", "HTTPS"] = Field(
        "HTTP", description="Protocol of the targets. With HTTPS, their certificates are not verified."
    )
    protocol_version: Literal["HTTP1", "HTTP2", "GRPC"] = Field("HTTP1", description="Version of the protocol.")
    attributes: ApplicationGroupAttributes = Field(ApplicationGroupAttributes(), description="Settings by ELB's keys.")

    # Only a release sets it, for a service that scales to zero. Left out of what is stored otherwise.
    hold_time: SkipJsonSchema[Duration | None] = Field(None, exclude_if=lambda value: value is None)

    @field_validator("target_type", mode="before")
    @classmethod
    def _has_requests(cls, value: object) -> object:
        if value == "alb":
            raise ValueError("alb needs protocol: TCP, because a network load balancer forwards to it")
        return value

    @model_validator(mode="after")
    def _functions_have_no_zone(self) -> Self:
        if self.is_lambda and self.attributes.cross_zone is False:
            raise FieldError("attributes", f"must not have {CROSS_ZONE}: false with target_type: lambda")
        return self

    @property
    def is_grpc(self) -> bool:
        """True if its targets use gRPC."""
        return self.protocol_version == "GRPC"

    @property
    def codes_of_check(self) -> tuple[int, int]:
        return (0, 99) if self.is_grpc else (200, 499)

    @property
    def check_path(self) -> str:
        return self.health_check.path or ("/AWS.ALB/healthcheck" if self.is_grpc else "/")

    @property
    def check_matcher(self) -> str:
        return self.health_check.matcher or (_GRPC_UNIMPLEMENTED if self.is_grpc else "200")

    @property
    def ramp(self) -> timedelta:
        return timedelta(seconds=self.attributes.slow_start)
