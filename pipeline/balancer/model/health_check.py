"""Health checks of targets."""

from __future__ import annotations

from datetime import timedelta
from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from pipeline.base.errors import FieldError
from pipeline.base.quantity import Duration, Whole, format_duration, parse_duration
from pipeline.base.schema import Model, Port, between


class HealthCheck(Model):
    """The check that a target must pass to get traffic."""

    protocol: Literal["HTTP", "HTTPS", "TCP"] = Field(
        "HTTP",
        description="HTTP and HTTPS request a page. TCP only connects. Certificates are not verified. Default for a "
        "network load balancer: TCP.",
    )
    path: str | None = Field(
        None,
        pattern=r"^/[!-~]*$",
        max_length=1024,
        description="Path to request. Default: `/`, or `/AWS.ALB/healthcheck` with protocol_version GRPC.",
    )
    host: str | None = Field(
        None,
        pattern=r"^[A-Za-z0-9._:\[\]-]{1,255}$",
        description="Host header of the check, for applications that accept certain hosts only. Default, as in ELB: "
        "the address and port that are checked.",
    )
    port: Port | Literal["traffic-port"] = Field(
        "traffic-port", description="Port to check. Default: the port that gets the traffic."
    )
    interval: Duration = Field(
        timedelta(seconds=1),
        description="Time from one check to the next: 100ms to 300s. ELB: 30s, at least 5s. Until its first pass, a "
        "target is checked ten times as often, but at most every 50ms.",
    )
    timeout: Duration = Field(
        timedelta(milliseconds=800),
        description="Time after which a check without a response fails. Less than the interval. ELB: 5s.",
    )
    healthy_threshold: Whole = Field(
        2,
        ge=1,
        le=10,
        description="Passes in a row that make an unhealthy target healthy again. A new target needs one. ELB: 5, "
        "at least 2.",
    )
    unhealthy_threshold: Whole = Field(
        3, ge=1, le=10, description="Failures in a row that make a target unhealthy. ELB: 2."
    )
    matcher: str | None = Field(
        None,
        pattern=r"^\d{1,3}(-\d{1,3})?(,\d{1,3}(-\d{1,3})?)*$",
        description="Codes that pass: status codes of 200 to 499 such as `200`, `200,204` or `200-299`, or gRPC codes "
        "of 0 to 99 with protocol_version GRPC. Default: 200, or 12 with GRPC. For a network load balancer: codes of "
        "200 to 599, default 200-399. A TCP check has none.",
    )

    @field_validator("matcher", mode="before")
    @classmethod
    def _matcher_as_text(cls, value: object) -> object:
        return str(value) if isinstance(value, int) and not isinstance(value, bool) else value

    @field_validator("interval")
    @classmethod
    def _interval_in_range(cls, value: timedelta) -> timedelta:
        return between(value, "100ms", "300s", timedelta(milliseconds=100), timedelta(seconds=300))

    @field_validator("timeout")
    @classmethod
    def _timeout_in_range(cls, value: timedelta) -> timedelta:
        return between(value, "50ms", "120s", timedelta(milliseconds=50), timedelta(seconds=120))

    @model_validator(mode="before")
    @classmethod
    def _timeout_follows_interval(cls, data: object) -> object:
        """Derive the timeout from the interval if only the interval is given."""
        if isinstance(data, dict) and "interval" in data and "timeout" not in data:
            try:
                interval = parse_duration(data["interval"])
            except ValueError:
                return data
            fitting = min(timedelta(milliseconds=800), interval * 0.8)
            return {**data, "timeout": max(timedelta(milliseconds=50), fitting)}
        return data

    @model_validator(mode="after")
    def _timeout_under_interval(self) -> Self:
        if self.timeout >= self.interval:
            raise FieldError(
                "timeout",
                f"must be less than the interval of {format_duration(self.interval)}, got "
                f"{format_duration(self.timeout)}",
            )
        return self
