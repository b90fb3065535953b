"""The check that the settings of one service fit together."""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.balancer.model import GatewayTargetGroup, TargetGroup
from pipeline.base.errors import FieldError
from pipeline.config.hooks import OF_ROLLING, LifecycleEvent
from pipeline.config.service import ServiceSettings


def service_mistakes(settings: ServiceSettings, replicas: int) -> Iterator[FieldError]:
    """Yield what does not fit together. `replicas` is the declared number."""
    yield from _standstill(settings, replicas)
    yield from _post_to_nowhere(settings)
    yield from _hooks_without_event(settings)
    yield from _breaker_beside(settings)


def _standstill(settings: ServiceSettings, replicas: int) -> Iterator[FieldError]:
    """Yield the mistake of limits that let a rollout replace nothing."""
    rolling = settings.rolling
    if not any(rolling.limits(replicas)):
        yield FieldError(
            "rolling",
            f"must allow progress: max_surge {rolling.max_surge} and max_unavailable {rolling.max_unavailable} of "
            f"{replicas} are both 0; set max_surge to 1",
        )


def _post_to_nowhere(settings: ServiceSettings) -> Iterator[FieldError]:
    """Yield the mistake of a notice by HTTP to containers without a port."""
    if settings.on_drain and settings.on_drain.http and not settings.target_group:
        yield FieldError(
            "on_drain",
            "http requires a target_group, because it is sent to the target's port; use command or signal, or write "
            "on_drain: null",
        )


def appliance_mistakes(
    settings: ServiceSettings, group: TargetGroup | None, place: tuple[str | int, ...]
) -> Iterator[FieldError]:
    """Yield what does not fit a service whose containers are appliances of a gateway load balancer."""
    if isinstance(group, GatewayTargetGroup) and settings.on_drain and settings.on_drain.http:
        yield FieldError(
            (*place, "on_drain", "http"),
            f"cannot reach an appliance, whose port {group.port} is one of UDP; use command or signal",
        )


def _breaker_beside(settings: ServiceSettings) -> Iterator[FieldError]:
    """Yield the mistake of a circuit breaker where no container replaces another one."""
    strategy, breaker = settings.strategy, settings.circuit_breaker
    if breaker and breaker.enable and strategy and strategy.is_shifting:
        yield FieldError(
            "circuit_breaker",
            f"is for rolling, as in ECS; with {strategy.type}, the first container that fails ends the deployment, "
            "before it gets requests; write circuit_breaker: false",
        )


def _hooks_without_event(settings: ServiceSettings) -> Iterator[FieldError]:
    """Yield the hooks of events that a deployment by this strategy does not have."""
    strategy = settings.strategy
    for event in dict.fromkeys(event for event, _ in settings.hooks.all()):
        if event not in OF_ROLLING and not (strategy and strategy.is_shifting):
            yield FieldError(
                ("hooks", event),
                "requires a strategy that runs the new release beside the previous one, such as blue_green; rolling "
                f"has {' and '.join(OF_ROLLING)}",
            )
        elif event is LifecycleEvent.AFTER_ALLOW_TEST_TRAFFIC and not (strategy and strategy.test_traffic):
            yield FieldError(("hooks", event), "requires strategy.test_traffic, because there is none without it")
