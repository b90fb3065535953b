"""`scaling`: the policy that chooses the number of replicas."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import timedelta, tzinfo
from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field, model_validator

from pipeline.base.cron import Cron
from pipeline.base.errors import FieldError, refuse
from pipeline.base.quantity import NO_TRUTH_VALUE, Duration, PercentSign, Whole
from pipeline.base.schema import Model, between
from pipeline.base.time_zone import TimeZone, find_zone

# As many as `pipeline scale` sets.
MAX_REPLICAS = 500

Capacity = Annotated[Whole, Field(ge=0, le=MAX_REPLICAS)]
_DAY, _MILLISECOND = timedelta(days=1), timedelta(milliseconds=1)
Cooldown = Annotated[Duration, AfterValidator(lambda value: between(value, "0s", "1d", timedelta(0), _DAY))]
ResponseTime = Annotated[Duration, AfterValidator(lambda value: between(value, "1ms", "1d", _MILLISECOND, _DAY))]

_SECOND, _MAX_HOLD = timedelta(seconds=1), timedelta(minutes=10)
IdleTime = Annotated[Duration, AfterValidator(lambda value: between(value, "1s", "1d", _SECOND, _DAY))]
HoldTime = Annotated[Duration, AfterValidator(lambda value: between(value, "1s", "10m", _SECOND, _MAX_HOLD))]
_DEFAULT_IDLE_TIME, _DEFAULT_HOLD_TIME = timedelta(minutes=5), timedelta(minutes=1)


class ScalingTarget(Model):
    """The values that target tracking keeps. With several, the one that needs the most replicas decides."""

    example: ClassVar[str] = "{cpu: 60%}"

    requests_per_target: Annotated[float, Field(gt=0), NO_TRUTH_VALUE] | None = Field(
        None, description="Requests per minute for each replica, as ALBRequestCountPerTarget."
    )
    response_time_p90: ResponseTime | None = Field(
        None, description="90th percentile of TargetResponseTime, such as 300ms."
    )
    cpu: Annotated[float, Field(ge=1, le=100), NO_TRUTH_VALUE, PercentSign()] | None = Field(
        None, description="Average CPU of the replicas, as a percentage of their CPU limit: 60 or 60%."
    )
    connections: Annotated[float, Field(gt=0), NO_TRUTH_VALUE] | None = Field(
        None, description="Requests or connections in progress for each replica."
    )

    @model_validator(mode="after")
    def _check_not_empty(self) -> ScalingTarget:
        if not self.model_dump(exclude_none=True):
            names = ", ".join(type(self).model_fields)
            raise ValueError(f"at least one of {names} is required")
        return self


class ScheduledAction(Model):
    """New bounds from a time on, until the next action that sets them. A bound that is not set stays as it is."""

    cron: Cron = Field(description="Cron expression of five fields, in the time zone of the policy.")
    min: Capacity | None = Field(None, description="The smallest number of replicas from then on.")
    max: Annotated[Whole, Field(ge=1, le=MAX_REPLICAS)] | None = Field(
        None, description="The largest number of replicas from then on."
    )

    @model_validator(mode="after")
    def _check_bounds(self) -> ScheduledAction:
        if self.min is None and self.max is None:
            raise FieldError("cron", "the action changes nothing; set min, max or both")
        if self.min is not None and self.max is not None:
            refuse(_wrong_order(self.min, self.max))
        return self


class ScalingPolicy(Model):
    """Bounds, targets, cooldowns and scheduled actions, with the meanings of AWS Application Auto Scaling."""

    example: ClassVar[str] = "{max: 5, target: {cpu: 60%}}"
    # Those of AWS, Kubernetes and other tools.
    names_elsewhere: ClassVar[Mapping[str, str]] = {
        "MaxCapacity": "max",
        "MinCapacity": "min",
        "maxReplicas": "max",
        "max_replicas": "max",
        "minReplicas": "min",
        "min_replicas": "min",
        "targetCPUUtilizationPercentage": "target: {cpu: 60%}",
    }

    min: Capacity = Field(
        1, description="The smallest number of replicas. 0: none while there are no requests, and the first one waits."
    )
    max: Annotated[Whole, Field(ge=1, le=MAX_REPLICAS)] = Field(description="The largest number of replicas.")
    target: ScalingTarget | None = Field(
        None, description="Values to keep. None: only the schedule and `idle_time` change the number."
    )
    scale_out_cooldown: Cooldown = Field(
        timedelta(seconds=15), description="The least time between two additions of replicas."
    )
    scale_in_cooldown: Cooldown = Field(
        timedelta(minutes=5),
        description="Replicas are removed after fewer were enough for this long without interruption.",
    )
    scale_in: Literal["enabled", "disabled"] = Field(
        "enabled", description="disabled: the targets only add replicas, as DisableScaleIn. The bounds still apply."
    )
    # Both are left out of what is stored unless they are set.
    idle_time: IdleTime | None = Field(
        None,
        description="With min: 0, the time without a request after which no replica is left, as KEDA's cooldownPeriod: "
        "1s to 1d. None: 5m.",
        exclude_if=lambda value: value is None,
    )
    hold_time: HoldTime | None = Field(
        None,
        description="With min: 0, the time for which a request waits for the first replica at most, until it gets 503: "
        "1s to 10m. None: 1m.",
        exclude_if=lambda value: value is None,
    )
    schedule: tuple[ScheduledAction, ...] = Field((), description="Scheduled actions, which change the bounds.")
    timezone: TimeZone | None = Field(
        None, description="Time zone of `schedule`, an IANA name such as Europe/Berlin. None: local time."
    )

    @property
    def lowest(self) -> int:
        """The smallest number of replicas at any time."""
        return min([self.min, *(action.min for action in self.schedule if action.min is not None)])

    @property
    def highest(self) -> int:
        """The largest number of replicas at any time."""
        return max([self.max, *(action.max for action in self.schedule if action.max is not None)])

    @property
    def idle_limit(self) -> timedelta:
        """The time without a request after which a service is scaled to zero."""
        return _DEFAULT_IDLE_TIME if self.idle_time is None else self.idle_time

    @property
    def hold_limit(self) -> timedelta:
        """The time for which a request waits for the first replica at most."""
        return _DEFAULT_HOLD_TIME if self.hold_time is None else self.hold_time

    def above_zero(self) -> ScalingPolicy:
        """Return the policy with at least one replica at any time. The same object if it always has one."""
        if self.lowest:
            return self
        schedule = tuple(
            action.model_copy(update={"min": 1}) if action.min == 0 else action for action in self.schedule
        )
        return self.model_copy(update={"min": max(1, self.min), "schedule": schedule})

    def zone(self, local: tzinfo) -> tzinfo:
        """Return the time zone of the schedule. `local` is that of this machine. Raises `ConfigError`."""
        return find_zone(self.timezone) if self.timezone else local

    @model_validator(mode="after")
    def _check(self) -> ScalingPolicy:
        refuse(self._mistakes())
        return self

    def _mistakes(self) -> Iterator[FieldError]:
        if self.target is None and not self.schedule and self.min:
            yield FieldError("target", "is missing; without it and without schedule, the number never changes")
        for name in ("idle_time", "hold_time") if self.lowest else ():
            if getattr(self, name) is not None:
                yield FieldError(name, f"requires min: 0, got min: {self.min}")
        if self.timezone and not self.schedule:
            yield FieldError("timezone", "requires schedule")
        yield from _wrong_order(self.min, self.max)
        yield from self._mistakes_of_schedule()

    def _mistakes_of_schedule(self) -> Iterator[FieldError]:
        """Yield each action with one bound that does not fit each other bound that may be in force then."""
        lowest = min([self.max, *(action.max for action in self.schedule if action.max is not None)])
        highest = max([self.min, *(action.min for action in self.schedule if action.min is not None)])
        for place, action in enumerate(self.schedule):
            if action.max is None and action.min is not None and action.min > lowest:
                text = f"must be at most {lowest}, the smallest max that may be in force then, got {action.min}"
                yield FieldError(("schedule", place, "min"), text)
            if action.min is None and action.max is not None and action.max < highest:
                text = f"must be at least {highest}, the largest min that may be in force then, got {action.max}"
                yield FieldError(("schedule", place, "max"), text)


def _wrong_order(least: int, most: int) -> Iterator[FieldError]:
    if least > most:
        yield FieldError("min", f"must be at most max, which is {most}, got {least}")
