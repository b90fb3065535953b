"""The conditions of `rollback_on`: what makes a new release worse."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from pipeline.base.errors import FieldError, refuse
from pipeline.base.quantity import Duration, Percentage, PercentageRange, Whole, format_duration, format_percentage
from pipeline.base.schema import Model
from pipeline.base.variants import Variants

DEFAULT_SERVER = "http://127.0.0.1:9090"
"""The server of Prometheus that a query without `server` asks."""
_METRIC = "Metric of the new release."
_WORSE = "`true`: not worse than the previous release in the same windows of time."
_DATAPOINTS = "Measurements in a row that must breach, as CloudWatch's DatapointsToAlarm."
_Ratio = Annotated[Percentage, PercentageRange(0.0001, 99)]
_Slowness = Annotated[Percentage, PercentageRange(1, 900)]
Above = Annotated[float, Field(strict=True, ge=-1e300, le=1e300)]
Text = Annotated[str, Field(min_length=1)]


class _Compared(Model):
    """A condition with one of several criteria."""

    example: ClassVar[str] = "{metric: http_5xx_ratio, above: 1%}"
    criteria: ClassVar[tuple[str, ...]] = ()

    if TYPE_CHECKING:
        # Each kind has its own, in the place in which releases store it.
        metric: str
    worse_than_previous: Literal[True] | None = Field(None, description=_WORSE)

    @model_validator(mode="after")
    def _check_single(self) -> Self:
        given = [name for name in self.criteria if getattr(self, name) is not None]
        if len(given) != 1:
            *others, last = self.criteria
            raise FieldError(
                given[1] if given else (),
                f"exactly one of {', '.join(others)} and {last} is required, got {len(given)}",
            )
        return self

    @property
    def compares(self) -> bool:
        """True if the previous release is needed."""
        return getattr(self, "above", None) is None

    def describe(self) -> str:
        """Return the condition as it is written: `http_5xx_ratio worse_by 0.5%`, `p99 above 300ms`."""
        criterion = next(name for name in self.criteria if getattr(self, name) is not None)
        value: Any = getattr(self, criterion)
        if value is True:
            return f"{self.metric} {criterion}"
        limit = format_duration(value) if isinstance(value, timedelta) else format_percentage(value)
        return f"{self.metric} {criterion} {limit}"


class RatioCondition(_Compared):
    """A share of the requests."""

    criteria: ClassVar[tuple[str, ...]] = ("above", "worse_by", "worse_than_previous")

    metric: Literal["http_5xx_ratio", "target_5xx_ratio", "elb_5xx_ratio"] = Field(description=_METRIC)
    above: _Ratio | None = Field(None, description="Limit of the ratio.")
    worse_by: _Ratio | None = Field(
        None, description="Percentage points that the ratio may be above that of the previous release."
    )


class ResponseTimeCondition(_Compared):
    """The time from sending a request to its target until the response headers arrived."""

    criteria: ClassVar[tuple[str, ...]] = ("above", "slower_by", "worse_than_previous")

    metric: Literal["p50", "p90", "p99", "response_time"] = Field(
        description=f"{_METRIC} response_time: the whole distribution."
    )
    above: Duration | None = Field(None, description="Limit of the percentile.")
    slower_by: _Slowness | None = Field(
        None, description="How much slower than the previous release it may be, in windows of the same time."
    )

    @model_validator(mode="after")
    def _check_above(self) -> Self:
        if self.above is not None and self.metric == "response_time":
            raise FieldError("above", "is for p50, p90 and p99; write metric: p99, or slower_by: 10%")
        if self.above is not None and not timedelta(0) < self.above <= timedelta(minutes=1):
            raise FieldError("above", "must be between 1ms and 1m")
        return self

    @property
    def margin(self) -> float:
        """The share by which the new release may be slower."""
        return self.slower_by or 0.0


class CountCondition(Model):
    """A number that needs no statistics."""

    example: ClassVar[str] = "{metric: restarts, above: 0}"

    metric: Literal["connection_errors", "unhealthy_targets", "restarts"] = Field(
        description=f"{_METRIC} unhealthy_targets is the number now, the others count from the start of its traffic."
    )
    above: Whole = Field(ge=0, description="Highest number that is no alarm.")

    def describe(self) -> str:
        """Return the condition as it is written: `restarts above 0`."""
        return f"{self.metric} above {self.above}"


class _Probe(Model):
    """A measurement that is taken again and again."""

    interval: Duration = Field(timedelta(seconds=10), description="Time between two measurements.")
    timeout: Duration = Field(timedelta(seconds=10), description="Time for one measurement.")
    datapoints_to_alarm: Whole = Field(1, ge=1, le=100, description=_DATAPOINTS)

    @model_validator(mode="after")
    def _check_times(self) -> Self:
        refuse(
            FieldError(name, "must be between 1s and 1h")
            for name in ("interval", "timeout")
            if not timedelta(seconds=1) <= getattr(self, name) <= timedelta(hours=1)
        )
        return self


class CommandCondition(_Probe):
    """A command on the host. An exit code other than 0 breaches."""

    command: tuple[Text, ...] = Field(min_length=1, description="Program and arguments.")

    def describe(self) -> str:
        """Return the condition as it is written: `command ./check.sh --fast`."""
        return f"command {' '.join(self.command)}"


class PromqlCondition(_Probe):
    """A query of Prometheus, whose result is one number."""

    promql: Text = Field(description="Expression with a scalar, or a vector of one element.")
    server: str = Field(DEFAULT_SERVER, pattern=r"^https?://[!-~]+$", description="URL of the Prometheus server.")
    above: Above | None = Field(None, description="Highest result that does not breach.")
    below: Above | None = Field(None, description="Lowest result that does not breach.")

    @model_validator(mode="after")
    def _check_limits(self) -> Self:
        if self.above is None and self.below is None:
            raise FieldError((), "one of above and below is required, such as above: 0.5")
        return self

    def describe(self) -> str:
        """Return the condition as it is written: `promql up below 1`."""
        limits = {"above": self.above, "below": self.below}
        return " ".join(
            [f"promql {self.promql}", *(f"{name} {limit:g}" for name, limit in limits.items() if limit is not None)]
        )


Condition = RatioCondition | ResponseTimeCondition | CountCondition | CommandCondition | PromqlCondition

_PROBES: dict[str, type[Model]] = {"command": CommandCondition, "promql": PromqlCondition}
_MODELS: dict[str, type[Model]] = {
    **dict.fromkeys(("http_5xx_ratio", "target_5xx_ratio", "elb_5xx_ratio"), RatioCondition),
    **dict.fromkeys(("p50", "p90", "p99", "response_time"), ResponseTimeCondition),
    **dict.fromkeys(("connection_errors", "unhealthy_targets", "restarts"), CountCondition),
}


class _ConditionVariants(Variants):
    """A choice by `metric`. A command and a query have no metric, but a key of their own."""

    def model_for(self, data: object) -> type[Model]:
        if isinstance(data, dict) and "metric" not in data:
            for key, model in _PROBES.items():
                if key in data:
                    return model
        return super().model_for(data)


def _has_kind(data: object) -> object:
    if isinstance(data, dict) and not data.keys() & {"metric", *_PROBES}:
        raise ValueError("needs a metric, a command or promql; write metric: http_5xx_ratio, for example")
    return data


AnyCondition = Annotated[
    Condition,
    _ConditionVariants(
        "metric",
        _MODELS,
        "http_5xx_ratio",
        {
            "command": "it is a key; write command: [./check.sh] without metric",
            "promql": "it is a key; write promql: and above: without metric",
        },
    ),
    BeforeValidator(_has_kind),
]
