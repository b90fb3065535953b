"""What a deployment does and has done, in a sentence."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from pipeline.balancer.model import GatewayTargetGroup, SharedGroup
from pipeline.config.job import describe_schedule
from pipeline.config.release import ReleaseSpec
from pipeline.config.service import ServiceSettings


def announcement(
    release: int, active: int | None, spec: ReleaseSpec, replicas: Mapping[str, int], *, is_new: bool
) -> str:
    """Return what a deployment is about to do. `active` is the number of the active release.

    `is_new`: its services move by their strategies, not one replica after the other.
    """
    origin = f"from release {active} " if active and active != release else ""
    parts = [
        _job(settings) if settings.is_job else _wanted(settings, replicas[name], is_first=active is None, is_new=is_new)
        for name, settings in spec.services.items()
    ]
    if not spec.shared:
        return f"{origin}to release {release}: {parts[0]}"
    named = "; ".join(f"{name}: {part}" for name, part in zip(spec.services, parts, strict=True))
    return f"{origin}to release {release}, one service after the other: {named}"


def strategies(spec: ReleaseSpec) -> str:
    """Return the strategy of a release, or those of its services."""
    found = {name: strategy_name(spec.services[name]) for name in spec.replicated}
    if len(set(found.values())) == 1:
        return next(iter(found.values()))
    return ", ".join(f"{name}: {strategy}" for name, strategy in found.items())


def strategy_name(settings: ServiceSettings) -> str:
    """Return the name of a service's strategy."""
    return settings.strategy.type if settings.strategy else "rolling"


def reached(spec: ReleaseSpec, replicas: Mapping[str, int], waiting: Collection[int]) -> str:
    """Return the numbers of replicas, and where clients reach them, without the ports in `waiting`."""
    parts = {
        name: _job(settings) if settings.is_job else _reached(spec, settings, replicas[name], waiting)
        for name, settings in spec.services.items()
    }
    if not spec.shared:
        return next(iter(parts.values()))
    return "; ".join(f"{name}: {part}" for name, part in parts.items())


def _job(settings: ServiceSettings) -> str:
    assert settings.schedule
    return f"runs {describe_schedule(settings.schedule, settings.timezone)}"


def _wanted(settings: ServiceSettings, replicas: int, *, is_first: bool, is_new: bool) -> str:
    max_surge, max_unavailable = settings.rolling.limits(replicas)
    # Before the first release, there is nothing to keep.
    if settings.strategy and settings.strategy.is_shifting and is_new and not is_first:
        return (
            f"{replicas} wanted by {settings.strategy.type}, and all previous ones are kept until the last step is over"
        )
    kept = "" if is_first else f"never lowered below {max(0, replicas - max_unavailable)} healthy, "
    return f"{replicas} wanted, {kept}at most {replicas + max_surge} running"


def _reached(spec: ReleaseSpec, settings: ServiceSettings, replicas: int, waiting: Collection[int]) -> str:
    group = settings.target_group
    if group is None:
        return f"{_count(replicas, 'container')} without a target group"
    targets = _count(replicas, "target")
    if isinstance(spec.balancer, SharedGroup):
        owner = spec.balancer.group_owner
        return f"{targets} in target group {group} of {owner}" if owner else f"{targets} behind no load balancer"
    if isinstance(spec.balancer.target_groups.get(group), GatewayTargetGroup):
        users = [name for name, _, listener in spec.balancer.listeners() if group in listener.groups()]
        return f"{targets} behind {', '.join(dict.fromkeys(users)) or 'no load balancer'}"
    addresses = ", ".join(_addresses(spec, group, waiting))
    return f"{targets} " + (
        f"at {addresses}" if addresses else "and receives no requests: no pipeline owns the ports of its rules"
    )


def _addresses(spec: ReleaseSpec, group: str, waiting: Collection[int]) -> Iterator[str]:
    """Yield the addresses at which clients reach a target group."""
    for _, balancer, listener in spec.balancer.listeners():
        if group in listener.groups() and listener.port not in waiting:
            yield from balancer.urls(listener)


def _count(number: int, noun: str) -> str:
    return f"1 {noun}" if number == 1 else f"{number} {noun}s"


def taken_down(count: int, accessories: Collection[str]) -> str:
    """Return what `pipeline down` has removed: a number of containers, and accessories."""
    containers = "1 container" if count == 1 else f"{count} containers"
    done = [f"{containers} drained and removed"] if count else []
    if accessories:
        done.append(f"accessories {', '.join(accessories)} removed; their named volumes and backups are kept")
    return "; ".join(done) or "nothing was running"
