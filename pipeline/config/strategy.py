"""`deploy.strategy`: how the traffic moves from a release to the next one, by the names of ECS and of CodeDeploy."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    GetJsonSchemaHandler,
    SerializerFunctionWrapHandler,
    ValidationError,
    model_serializer,
)
from pydantic_core import CoreSchema

from pipeline.balancer.model import Model
from pipeline.balancer.model.alternate_group import TenthsOfPercent, TestTraffic
from pipeline.base.errors import FieldError
from pipeline.base.quantity import Duration
from pipeline.base.schema import between
from pipeline.base.suggestion import nearest
from pipeline.base.variants import Variants
from pipeline.base.written import written
from pipeline.config.form import in_flow_style
from pipeline.config.mirror import Mirror

_ALL = 100
_MINUTES = re.compile(r"(?P<kind>Canary|Linear)(?P<percent>\d{1,3})Percent(Every)?(?P<minutes>\d{1,4})Minutes?")
_TEST_TRAFFIC = "Requests that reach the new release from its installation on, whatever its share. None: none."
_MIRROR = "Copies of requests that the new release gets before the first step. None: none."
_BAKE = "Time after the last step, while the previous release is kept for a rollback: 0s to 24h."


def _within_a_day(value: timedelta) -> timedelta:
    return between(value, "0s", "24h", timedelta(0), timedelta(hours=24))


BakeTime = Annotated[Duration, AfterValidator(_within_a_day)]


@dataclass(frozen=True)
class ShiftStep:
    """A step of a deployment: the new release gets `percent` of the requests, and keeps them for `bake_time`."""

    percent: float
    bake_time: timedelta = timedelta(0)


class RollingStrategy(Model):
    """Replaces the replicas one after the other within the limits of `rolling`, in one target group."""

    type: Literal["rolling"] = Field("rolling", description="The strategy.")
    bake_time: BakeTime = Field(timedelta(0), description="Time after the last replacement: 0s to 24h.")

    @property
    def is_shifting(self) -> bool:
        """False: the traffic moves with the replicas."""
        return False

    @property
    def test_traffic(self) -> TestTraffic | None:
        """None: there is no group of the new release alone."""
        return None

    @property
    def mirror(self) -> Mirror | None:
        """None: the new release gets requests as soon as it is healthy."""
        return None

    def steps(self) -> tuple[ShiftStep, ...]:
        """Return no steps."""
        return ()


class _ShiftingStrategy(Model):
    """Starts the new release beside the previous one, and moves the traffic by weights."""

    test_traffic: TestTraffic | None = Field(None, description=_TEST_TRAFFIC)
    mirror: Mirror | None = Field(None, description=_MIRROR)

    @model_serializer(mode="wrap")
    def _without_unset_mirror(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        data: dict[str, Any] = handler(self)
        # Releases that were stored before it existed have none.
        return {name: value for name, value in data.items() if name != "mirror" or value is not None}

    @property
    def is_shifting(self) -> bool:
        """True: the new release runs in a second target group."""
        return True


class BlueGreenStrategy(_ShiftingStrategy):
    """Moves all requests in one step."""

    type: Literal["blue_green"] = Field("blue_green", description="The strategy.")
    bake_time: BakeTime = Field(timedelta(minutes=10), description=_BAKE)

    def steps(self) -> tuple[ShiftStep, ...]:
        """Return the only step."""
        return (ShiftStep(_ALL, self.bake_time),)


class CanaryStrategy(_ShiftingStrategy):
    """Moves a small share of the requests, and all the others after a while."""

    type: Literal["canary"] = Field("canary", description="The strategy.")
    percent: TenthsOfPercent = Field(
        5.0, ge=0.1, le=_ALL, description="Share of the requests in the first step: 0.1 to 100, in steps of 0.1."
    )
    bake_time: BakeTime = Field(timedelta(minutes=10), description="Time of the first step: 0s to 24h.")

    def steps(self) -> tuple[ShiftStep, ...]:
        """Return the step of the canary and that of all requests."""
        return (ShiftStep(self.percent, self.bake_time), ShiftStep(_ALL))


class LinearStrategy(_ShiftingStrategy):
    """Moves the requests in equal steps."""

    type: Literal["linear"] = Field("linear", description="The strategy.")
    step_percent: TenthsOfPercent = Field(
        10.0, ge=3, le=_ALL, description="Share of the requests that each step adds: 3 to 100, in steps of 0.1."
    )
    step_bake_time: BakeTime = Field(timedelta(minutes=6), description="Time between two steps: 0s to 24h.")
    bake_time: BakeTime = Field(timedelta(0), description=_BAKE)

    def steps(self) -> tuple[ShiftStep, ...]:
        """Return all steps. The last one has what is left of the requests."""
        return (*self._parts(), ShiftStep(_ALL, self.bake_time))

    def _parts(self) -> Iterator[ShiftStep]:
        # In tenths of a percent, of which a sum is exact.
        step = round(self.step_percent * 10)
        for tenths in range(step, 1000, step):
            yield ShiftStep(tenths / 10, self.step_bake_time)


class AllAtOnceStrategy(_ShiftingStrategy):
    """Moves all requests in one step, and ends the previous release at once."""

    type: Literal["all_at_once"] = Field("all_at_once", description="The strategy.")

    def steps(self) -> tuple[ShiftStep, ...]:
        """Return the only step."""
        return (ShiftStep(_ALL),)


AnyStrategy = RollingStrategy | BlueGreenStrategy | CanaryStrategy | LinearStrategy | AllAtOnceStrategy

_MODELS: dict[str, type[Model]] = {
    "rolling": RollingStrategy,
    "blue_green": BlueGreenStrategy,
    "canary": CanaryStrategy,
    "linear": LinearStrategy,
    "all_at_once": AllAtOnceStrategy,
}
# ECS writes them in upper case.
_OF_ECS = {name.upper(): name for name in ("rolling", "blue_green", "canary", "linear")}
ROLLING_LIMITS: dict[str, dict[str, Any]] = {
    "OneAtATime": {"max_surge": 1, "max_unavailable": 0},
    "HalfAtATime": {"max_surge": "50%", "max_unavailable": 0},
}
"""CodeDeploy's names of rolling deployments, with the limits of `rolling` that they stand for."""


def plain_name(name: str) -> str:
    """Return a name of CodeDeploy without its prefixes: that of its own configurations, and that of the platform."""
    bare = name.removeprefix("CodeDeployDefault.")
    return re.sub(r"^(ECS|Lambda)(?=[A-Z])", "", bare)


def named_strategy(name: str) -> dict[str, Any]:
    """Return the keys of the strategy with a name of ECS or CodeDeploy. Raises `ValueError` for an unknown name."""
    bare = plain_name(name)
    if name in _MODELS or name in _OF_ECS:
        return {"type": _OF_ECS.get(name, name)}
    if bare == "AllAtOnce":
        return {"type": "all_at_once"}
    if bare in ROLLING_LIMITS:
        return {"type": "rolling"}
    found = _MINUTES.fullmatch(bare)
    if found and (found["kind"] == "Linear") == (found[3] is not None):
        return _timed(found["kind"], int(found["percent"]), f"{int(found['minutes'])}m")
    if near := nearest(name, (*_MODELS, *ROLLING_LIMITS)):
        raise ValueError(f"{name!r} is not a strategy; did you mean {near}?")
    raise ValueError(
        f"{name!r} is not a strategy; write one of {', '.join(_MODELS)}, or a name of CodeDeploy such as "
        "Canary10Percent5Minutes, Linear10PercentEvery1Minute, AllAtOnce, OneAtATime or HalfAtATime"
    )


def _timed(kind: str, percent: int, minutes: str) -> dict[str, Any]:
    if kind == "Canary":
        return {"type": "canary", "percent": percent, "bake_time": minutes}
    return {"type": "linear", "step_percent": percent, "step_bake_time": minutes}


def _spelled_out(data: object) -> object:
    """Return a strategy that is written as a name, or with a name of ECS as its type, as a mapping of its keys."""
    if isinstance(data, str):
        return named_strategy(data)
    if isinstance(data, dict) and "type" in data:
        kind = data["type"]
        if isinstance(kind, str) and _is_whole(kind):
            raise FieldError("type", f"{kind} has no other keys; write strategy: {kind}")
        return {**data, "type": _OF_ECS.get(kind, kind) if isinstance(kind, str) else kind}
    if isinstance(data, dict):
        raise ValueError(_type_is_missing(data))
    if isinstance(data, Model):
        return data
    raise ValueError(f"must be a name such as blue_green, or a mapping with its type, got {written(data)}")


def _is_whole(name: str) -> bool:
    """Return whether a name of CodeDeploy has all keys of its strategy."""
    try:
        return name not in _MODELS and name not in _OF_ECS and bool(named_strategy(name))
    except ValueError:
        return False


def _type_is_missing(data: dict[Any, Any]) -> str:
    name, *others = data or [""]
    if name in _MODELS and not others:
        return f"needs a type; write {in_flow_style(_with_type(name, data[name]))}"
    return f"needs a type: one of {', '.join(_MODELS)}"


def _with_type(name: str, keys: object) -> dict[str, Any]:
    """Return a strategy with the keys that were written below its name, without them if they are not all its own."""
    found = {"type": name, **keys} if isinstance(keys, dict) else {"type": name}
    try:
        _MODELS[name].model_validate(found)
    except ValidationError:
        return {"type": name}
    return found


class _Named:
    """Shows in the JSON Schema that a strategy may be written as its name."""

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        names = [*_MODELS, "Canary10Percent5Minutes", "Linear10PercentEvery1Minute", *ROLLING_LIMITS]
        return {"anyOf": [{"type": "string", "examples": names}, handler(schema)]}


Strategy = Annotated[
    AnyStrategy,
    Variants("type", _MODELS, "rolling"),
    BeforeValidator(_spelled_out),
    _Named(),
]
"""A strategy, written as its name or as a mapping with its `type`."""
