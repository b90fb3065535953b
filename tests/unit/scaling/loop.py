"""The controller in a closed loop with an ideal service, whose replicas start at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

from pipeline.base.clock import Stamp
from pipeline.scaling.controller import decide
from pipeline.scaling.observation import Observation, ScalingState
from pipeline.scaling.policy import ScalingPolicy

INTERVAL = 15
HOUR = 3600 // INTERVAL
MONDAY = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)


def at(seconds: float) -> Stamp:
    """Return the time that is later than a Monday's noon by these seconds."""
    return Stamp(MONDAY + timedelta(seconds=seconds), "boot", seconds)


def policy(**keys: Any) -> ScalingPolicy:
    """Return a policy, by default of 1 to 100 replicas with 100 requests per minute each."""
    return ScalingPolicy.model_validate({"max": 100, "target": {"requests_per_target": 100}} | keys)


def seen(count: int, seconds: float = 0.0, **fields: Any) -> Observation:
    """Return an observation in which all replicas serve."""
    return Observation(**({"at": at(seconds), "count": count, "serving": count} | fields))


def follow(
    chosen: ScalingPolicy, loads: Iterable[float], metrics: Callable[[float, int], dict[str, float]], count: int
) -> Iterator[int]:
    """Yield the number of replicas after each control interval. `metrics` makes them of load and replicas."""
    state = ScalingState()
    for tick, load in enumerate(loads):
        decision = decide(chosen, state, seen(count, tick * INTERVAL, **metrics(load, count)))
        count, state = decision.count, ScalingState.model_validate_json(decision.state.model_dump_json())
        yield count


def changes(counts: Iterable[int]) -> int:
    """Return how often the number changes from one control interval to the next."""
    return sum(one != other for one, other in pairwise(counts))
