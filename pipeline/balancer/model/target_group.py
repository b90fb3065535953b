"""Target groups: targets that serve the same application. What both kinds have in common."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from datetime import timedelta
from typing import Any, Self

from pydantic import Field, field_validator, model_validator

from pipeline.balancer.model.attributes import TargetGroupAttributes
from pipeline.balancer.model.health_check import HealthCheck
from pipeline.base.errors import FieldError
from pipeline.base.quantity import Duration
from pipeline.base.schema import Model, Port, between

_DELAY = "deregistration_delay.timeout_seconds"


class TargetGroup(Model, ABC):
    """Targets that serve the same application."""

    target_type: str
    protocol: str
    port: Port = Field(description="Port on which the targets listen, inside their containers.")
    health_check: HealthCheck = Field(HealthCheck(), description="Health check that a target must pass to get traffic.")
    deregistration_delay: Duration = Field(
        timedelta(seconds=30),
        description="Time that a draining target has to finish what is in flight: 0s to 1h. ELB: 300s, with the key "
        f"`{_DELAY}`, which `attributes` accepts too.",
    )
    attributes: TargetGroupAttributes = TargetGroupAttributes()

    @model_validator(mode="before")
    @classmethod
    def _delay_by_either_name(cls, data: Any) -> Any:
        attributes = data.get("attributes") if isinstance(data, dict) else None
        if not isinstance(attributes, dict) or _DELAY not in attributes:
            return data
        if "deregistration_delay" in data:
            raise FieldError("deregistration_delay", f"must be set once; attributes also set {_DELAY}")
        others = {key: value for key, value in attributes.items() if key != _DELAY}
        return {**data, "attributes": others, "deregistration_delay": f"{attributes[_DELAY]}s"}

    @field_validator("deregistration_delay")
    @classmethod
    def _delay_in_range(cls, value: timedelta) -> timedelta:
        return between(value, "0s", "1h", timedelta(0), timedelta(hours=1))

    @model_validator(mode="after")
    def _matcher_in_range(self) -> Self:
        if self.health_check.protocol == "TCP" and self.health_check.host is not None:
            raise FieldError("health_check", "must have no host with protocol: TCP")
        if self.health_check.matcher is None:
            return self
        if self.health_check.protocol == "TCP":
            raise FieldError("health_check", "must have no matcher with protocol: TCP")
        least, most = self.codes_of_check
        for code in map(int, re.findall(r"\d+", self.health_check.matcher)):
            if not least <= code <= most:
                raise FieldError("health_check", f"matcher must hold codes from {least} to {most}, got {code}")
        return self

    @property
    @abstractmethod
    def codes_of_check(self) -> tuple[int, int]:
        """The lowest and the highest code that may pass a health check."""

    @property
    def check_path(self) -> str:
        """The path that a health check requests."""
        return self.health_check.path or "/"

    @property
    @abstractmethod
    def check_matcher(self) -> str:
        """The codes that pass a health check."""

    @property
    def is_lambda(self) -> bool:
        """True if its targets are functions."""
        return self.target_type == "lambda"

    @property
    def is_alb(self) -> bool:
        """True if its target is an application load balancer, which the declaration names."""
        return self.target_type == "alb"

    @property
    def ramp(self) -> timedelta:
        """The time over which the share of a newly healthy target grows to the full share."""
        return timedelta(0)
