"""Conditions of `rollback_on` that could never decide, because of the strategy or the target group of the service."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from pipeline.alarms.condition import Condition, CountCondition, RatioCondition, ResponseTimeCondition
from pipeline.balancer.model import GatewayTargetGroup, NetworkTargetGroup, TargetGroup
from pipeline.base.errors import FieldError
from pipeline.config.service import ServiceSettings
from pipeline.config.strategy import RollingStrategy

_Place = tuple[str | int, ...]
_COMPARING = ("canary", "linear")


def rollback_mistakes(settings: ServiceSettings, place: _Place) -> Iterator[FieldError]:
    """Yield the mistakes of a service, whose settings are complete."""
    if settings.rollback_on is None:
        return
    place = (*place, "rollback_on")
    strategy = settings.strategy or RollingStrategy()
    bake_time = _bake_time(settings)
    if not bake_time:
        other = (
            "{type: blue_green, bake_time: 10m}" if strategy.type == "all_at_once" else _with_bake_time(strategy.type)
        )
        yield FieldError(place, f"needs a bake time, and that of {strategy.type} is 0s; write strategy: {other}")
        return
    conditions = settings.rollback_on.conditions
    if settings.rollback_on.warm_up >= bake_time and any(isinstance(c, ResponseTimeCondition) for c in conditions):
        yield FieldError((*place, "warm_up"), f"must be shorter than the bake time of {_seconds(bake_time)}")
    for index, condition in enumerate(conditions):
        if settings.target_group is None and (metric := _metric_of_targets(condition)):
            yield FieldError(
                (*place, "conditions", index, "metric"),
                f"{metric} requires a target_group; use restarts, command or promql",
            )
        elif (criterion := _comparing_criterion(condition)) and strategy.type not in _COMPARING:
            yield FieldError(
                (*place, "conditions", index, criterion),
                f"compares with the previous release, which gets no requests beside the new one with {strategy.type}; "
                "use above, or strategy: canary or linear",
            )


def network_mistakes(settings: ServiceSettings, group: TargetGroup | None, place: _Place) -> Iterator[FieldError]:
    """Yield the conditions on requests of a service whose target group has connections or packets instead."""
    if settings.rollback_on is None or not isinstance(group, NetworkTargetGroup | GatewayTargetGroup):
        return
    for index, condition in enumerate(settings.rollback_on.conditions):
        metric = _metric_of_targets(condition)
        if metric and metric != "unhealthy_targets":
            yield FieldError(
                (*place, "rollback_on", "conditions", index, "metric"),
                f"{metric} is not known for {settings.target_group} with protocol {group.protocol}, because its "
                "connections are not logged; use unhealthy_targets, restarts, command or promql",
            )


def _bake_time(settings: ServiceSettings) -> timedelta:
    strategy = settings.strategy or RollingStrategy()
    if isinstance(strategy, RollingStrategy):
        return strategy.bake_time
    return sum((step.bake_time for step in strategy.steps()), timedelta(0))


def _with_bake_time(kind: str) -> str:
    """Return a strategy like this one that has a bake time."""
    key = "step_bake_time" if kind == "linear" else "bake_time"
    return f"{{type: {'blue_green' if kind == 'all_at_once' else kind}, {key}: 10m}}"


def _metric_of_targets(condition: Condition) -> str | None:
    """Return the metric of a condition on requests or targets, None for another condition."""
    if isinstance(condition, RatioCondition | ResponseTimeCondition):
        return condition.metric
    return condition.metric if isinstance(condition, CountCondition) and condition.metric != "restarts" else None


def _comparing_criterion(condition: Condition) -> str | None:
    """Return the criterion by which a condition compares both releases, None if it does not."""
    if not isinstance(condition, RatioCondition | ResponseTimeCondition) or not condition.compares:
        return None
    return next(name for name in condition.criteria if getattr(condition, name) is not None)


def _seconds(duration: timedelta) -> str:
    return f"{duration.total_seconds():g}s"
