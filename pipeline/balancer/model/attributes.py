"""Attributes: settings by ELB's own keys. Keys that have no effect on one machine are refused, with the reason."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from pipeline.base.errors import FieldError
from pipeline.base.schema import Model

IN_CLOUD = "it configures AWS's network"
IN_S3 = "logs are not written to S3"
IN_ZONES = "there is only one zone"
IN_DNS = "it configures DNS failover between zones, and there is only one zone"
OF_GATEWAYS = "it is for gateway load balancers"
_ROUTING = "target_group_health.unhealthy_state_routing.minimum_healthy_targets"


def _minimum(value: object) -> object:
    if value is False:  # YAML 1.1 reads `off` as False.
        return "off"
    if value == "off" or (isinstance(value, int) and not isinstance(value, bool) and value >= 1):
        return value
    raise ValueError(f"must be at least 1, or off, got {value!r}")


Minimum = Annotated[int | Literal["off"], BeforeValidator(_minimum)]


class Attributes(Model):
    """A section of attributes. `refused` maps ELB's keys that are not supported to the reason."""

    refused: ClassVar[dict[str, str]] = {}

    @model_validator(mode="before")
    @classmethod
    def _say_why(cls, data: Any) -> Any:
        for key in data if isinstance(data, dict) else ():
            for prefix, reason in cls.refused.items():
                if str(key) == prefix or (prefix.endswith(".") and str(key).startswith(prefix)):
                    raise FieldError(str(key), f"is not supported: {reason}")
        return data


class TargetGroupAttributes(Attributes):
    """Attributes of a target group of either kind."""

    stickiness: bool = Field(
        False, alias="stickiness.enabled", description="Keeps a client with the target that it was given first."
    )
    minimum_healthy_count: Minimum = Field(
        1,
        alias=f"{_ROUTING}.count",
        description="With fewer healthy targets than this, all targets get traffic, healthy or not.",
    )
    minimum_healthy_percentage: Minimum = Field(
        "off",
        alias=f"{_ROUTING}.percentage",
        description="With a smaller percentage of healthy targets, all targets get traffic, healthy or not.",
    )

    @property
    def needs_one_healthy(self) -> bool:
        """True if one healthy target is enough, so that unhealthy ones get traffic only if none is healthy."""
        return self.minimum_healthy_count in (1, "off") and self.minimum_healthy_percentage == "off"

    def min_healthy_targets(self, registered: int) -> int:
        """Return the number of healthy targets below which all of the registered ones get traffic."""
        count = 1 if self.minimum_healthy_count == "off" else self.minimum_healthy_count
        share = 0 if self.minimum_healthy_percentage == "off" else self.minimum_healthy_percentage
        return max(count, -(-registered * share // 100))

    @model_validator(mode="after")
    def _percentage_in_range(self) -> Self:
        if self.minimum_healthy_percentage != "off" and self.minimum_healthy_percentage > 100:
            raise FieldError(f"{_ROUTING}.percentage", "must be 1 to 100, or off")
        return self
