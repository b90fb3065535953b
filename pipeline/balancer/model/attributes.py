"""Attributes: settings by ELB's own keys. Keys that have no effect on one machine are refused, with the reason."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from pipeline.base.errors import FieldError
from pipeline.base.schema import Model
from pipeline.base.written import written

IN_CLOUD = "it configures AWS's network"
IN_S3 = "logs are not written to S3"
OF_GATEWAYS = "it is for gateway load balancers"
OF_APPLICATIONS = "it is for application load balancers"
_ROUTING = "target_group_health.unhealthy_state_routing.minimum_healthy_targets"
_FAILOVER = "target_group_health.dns_failover.minimum_healthy_targets"
_AS_LOAD_BALANCER = "use_load_balancer_configuration"
CROSS_ZONE = "load_balancing.cross_zone.enabled"
NOT_HTTP = {
    "idle_timeout.timeout_seconds": f"{OF_APPLICATIONS}; set tcp.idle_timeout.seconds on the listener",
    "client_keep_alive.seconds": OF_APPLICATIONS,
    "connection_logs.s3.": OF_APPLICATIONS,
    "health_check_logs.s3.": OF_APPLICATIONS,
    "routing.http.": OF_APPLICATIONS,
    "routing.http2.enabled": OF_APPLICATIONS,
    "waf.fail_open.enabled": OF_APPLICATIONS,
}
"""What load balancers that do not speak HTTP refuse, and why."""


def _minimum(value: object) -> object:
    if value is False:  # YAML 1.1 reads `off` as False.
        return "off"
    if value == "off" or (isinstance(value, int) and not isinstance(value, bool) and value >= 1):
        return value
    raise ValueError(f"must be at least 1, or off, got {written(value)}")


def _cross_zone(value: object) -> object:
    switch = {"true": True, "false": False}.get(value, value) if isinstance(value, str) else value
    if isinstance(switch, bool) or switch == _AS_LOAD_BALANCER:
        return switch
    raise ValueError(f"must be true, false or {_AS_LOAD_BALANCER}, got {written(value)}")


CrossZone = Annotated[bool | Literal["use_load_balancer_configuration"], BeforeValidator(_cross_zone)]
Minimum = Annotated[int | Literal["off"], BeforeValidator(_minimum)]
MinimumOrNone = Annotated[
    int | Literal["off"] | None, BeforeValidator(lambda value: value if value is None else _minimum(value))
]


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
    """Attributes of a target group of each kind. One healthy target is enough, unless a kind has a setting for it."""

    stickiness: bool = Field(
        False, alias="stickiness.enabled", description="Keeps a client with the target that it was given first."
    )

    @property
    def needs_one_healthy(self) -> bool:
        """True if one healthy target is enough, so that unhealthy ones get traffic only if none is healthy."""
        return True

    @property
    def draining_interval(self) -> timedelta:
        """The time for which an unhealthy target drains. Only those of network load balancers do."""
        return timedelta(0)

    def min_healthy_targets(self, registered: int) -> int:
        """Return the number of healthy targets below which all of the registered ones get traffic."""
        return _least(None, None, registered)

    def min_healthy_for_names(self, registered: int) -> int:
        """Return the number of healthy targets below which a zone's address is left out of the names."""
        return self.min_healthy_targets(registered)

    def crosses_zones(self, balancer: bool) -> bool:
        """Return whether nodes send traffic to targets of other zones. `balancer`: the load balancer's setting."""
        return balancer


class NodeGroupAttributes(TargetGroupAttributes):
    """Attributes of a target group of application and network load balancers, which have nodes with addresses."""

    cross_zone: CrossZone = Field(
        "use_load_balancer_configuration",
        alias=CROSS_ZONE,
        description="true: a node sends traffic to the targets of all zones. false: only to those of its own zone. It "
        "replaces the load balancer's setting.",
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
    failover_count: MinimumOrNone = Field(
        None,
        alias=f"{_FAILOVER}.count",
        description="With fewer healthy targets than this, the zone's address is left out of the load balancer's name. "
        "At least the number above, which is the default.",
    )
    failover_percentage: MinimumOrNone = Field(
        None,
        alias=f"{_FAILOVER}.percentage",
        description="With a smaller percentage of healthy targets, the zone's address is left out of the load "
        "balancer's name. At least the percentage above, which is the default.",
    )

    @property
    def needs_one_healthy(self) -> bool:
        return self.minimum_healthy_count in (1, "off") and self.minimum_healthy_percentage == "off"

    def min_healthy_targets(self, registered: int) -> int:
        return _least(self.minimum_healthy_count, self.minimum_healthy_percentage, registered)

    def min_healthy_for_names(self, registered: int) -> int:
        own = _least(self.failover_count, self.failover_percentage, registered)
        return max(own, self.min_healthy_targets(registered))

    def crosses_zones(self, balancer: bool) -> bool:
        return self.cross_zone if isinstance(self.cross_zone, bool) else balancer

    @model_validator(mode="after")
    def _percentages_in_range(self) -> Self:
        for key, share in ((_ROUTING, self.minimum_healthy_percentage), (_FAILOVER, self.failover_percentage)):
            if _number(share) > 100:
                raise FieldError(f"{key}.percentage", "must be 1 to 100, or off")
        return self

    @model_validator(mode="after")
    def _failover_first(self) -> Self:
        """Check that a zone leaves the names before its targets fail open, as ELB requires."""
        for what in ("count", "percentage"):
            routing, failover = _number(getattr(self, f"minimum_healthy_{what}")), getattr(self, f"failover_{what}")
            if failover is not None and _number(failover) < routing:
                raise FieldError(
                    f"{_FAILOVER}.{what}", f"must be at least {routing}, the value of {_ROUTING}.{what}, or left out"
                )
        return self


def _number(minimum: int | Literal["off"] | None) -> int:
    return minimum if isinstance(minimum, int) else 0


def _least(count: int | Literal["off"] | None, percentage: int | Literal["off"] | None, registered: int) -> int:
    return max(_number(count) or 1, -(-registered * _number(percentage) // 100))
