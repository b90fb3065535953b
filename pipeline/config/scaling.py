"""`scaling` of a service in pipeline.yaml: what does not fit the service."""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.balancer.model import Declaration, GatewayTargetGroup, NetworkTargetGroup
from pipeline.base.errors import FieldError
from pipeline.config.service import ServiceSettings
from pipeline.scaling.policy import ScalingPolicy

_OF_REQUESTS = ("requests_per_target", "response_time_p90")
_OF_GROUP = (*_OF_REQUESTS, "connections")


def scaling_mistakes(
    policy: ScalingPolicy, settings: ServiceSettings, replicas: int | None, place: tuple[str | int, ...]
) -> Iterator[FieldError]:
    """Yield what does not fit a service. `replicas` is the number that the file sets, None if it sets none."""
    if replicas is not None and not max(1, policy.lowest) <= replicas <= policy.highest:
        yield FieldError(
            (*place, "replicas"),
            f"must be from {max(1, policy.lowest)} to {policy.highest}, the bounds of scaling, got {replicas}; it is "
            "the number of the first deployment",
        )
    if settings.target_group is None:
        for name in _targets(policy, _OF_GROUP):
            yield FieldError(
                (*place, "scaling", "target", name),
                "requires a target_group, because a service without one gets no requests; use cpu",
            )
    yield from _standstills(policy, settings, place)


def metric_mistakes(
    policy: ScalingPolicy, group: str, balancer: Declaration, place: tuple[str | int, ...]
) -> Iterator[FieldError]:
    """Yield the targets whose metric the target group does not have."""
    found = balancer.target_groups.get(group)
    if not isinstance(found, NetworkTargetGroup | GatewayTargetGroup):
        return
    kind = "gateway" if isinstance(found, GatewayTargetGroup) else "network"
    for name in _targets(policy, _OF_REQUESTS):
        yield FieldError(
            (*place, "scaling", "target", name),
            f"requires an application load balancer; target group {group} is of a {kind} load balancer, which has no "
            "requests; use connections or cpu",
        )


def _targets(policy: ScalingPolicy, names: tuple[str, ...]) -> Iterator[str]:
    return (name for name in names if policy.target and getattr(policy.target, name) is not None)


def _standstills(
    policy: ScalingPolicy, settings: ServiceSettings, place: tuple[str | int, ...]
) -> Iterator[FieldError]:
    """Yield the first number of replicas for which a rollout could replace nothing."""
    rolling = settings.rolling
    for count in range(max(1, policy.lowest), policy.highest + 1):
        if not any(rolling.limits(count)):
            yield FieldError(
                (*place, "rolling"),
                f"must allow progress: max_surge {rolling.max_surge} and max_unavailable {rolling.max_unavailable} of "
                f"{count}, a number that scaling may choose, are both 0; set max_surge to 1",
            )
            return
