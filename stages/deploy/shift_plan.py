"""The plan of a shifting deployment of one service, in words."""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.balancer.alternate import alternate_name
from pipeline.balancer.model.alternate_group import TestTraffic
from pipeline.base.quantity import format_duration
from pipeline.config.hooks import LifecycleEvent
from pipeline.config.service_spec import ServiceSpec
from pipeline.config.strategy import AnyStrategy
from stages.deploy.hook_plan import planned_hooks

_WITH_TEST_TRAFFIC = (LifecycleEvent.AFTER_INSTALL, LifecycleEvent.AFTER_ALLOW_TEST_TRAFFIC)


def shift_steps(service: ServiceSpec, strategy: AnyStrategy, present: int, wanted: int) -> tuple[list[str], str]:
    """Return the steps from `present` containers to `wanted` new ones, and the limits."""
    home = service.settings.target_group or ""
    steps = [
        *planned_hooks(service, LifecycleEvent.BEFORE_INSTALL),
        f"declare the target group {alternate_name(home)} beside {home}; it gets no requests{_test(strategy)}",
        f"start {_containers(wanted)} in {alternate_name(home)}, and wait until all are healthy",
        *planned_hooks(service, *_WITH_TEST_TRAFFIC),
        *_copies(strategy),
        *planned_hooks(service, LifecycleEvent.BEFORE_ALLOW_TRAFFIC),
        *_shares(strategy),
        *planned_hooks(service, LifecycleEvent.AFTER_ALLOW_TRAFFIC),
        f"drain and stop the {_containers(present, 'previous ')}",
        f"move the new targets to {home}, and remove {alternate_name(home)}",
    ]
    limits = (
        f"healthy targets: the rollout keeps all {present} previous ones until the last step is over; "
        f"containers: at most {present + wanted}"
    )
    return steps, limits


def _test(strategy: AnyStrategy) -> str:
    test: TestTraffic | None = strategy.test_traffic
    if test is None:
        return ""
    where = f"at port {test.port}" if test.header is None else f"with {test.header.name}: {test.header.value}"
    return f", except test traffic {where}"


def _copies(strategy: AnyStrategy) -> Iterator[str]:
    if mirror := strategy.mirror:
        yield f"copy {mirror.describe()} to the new containers, for at least {format_duration(mirror.duration)}"


def _shares(strategy: AnyStrategy) -> Iterator[str]:
    for step in strategy.steps():
        kept = f", for at least {format_duration(step.bake_time)}" if step.bake_time else ""
        yield f"send {step.percent:g} % of the requests to the new containers{kept}"


def _containers(count: int, which: str = "") -> str:
    return f"{which}container" if which and count == 1 else f"{count} {which}container{'s' * (count != 1)}"
