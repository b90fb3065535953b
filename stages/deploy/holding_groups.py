"""Target groups that hold requests until a deployment that ends this has put the first target into service."""

from __future__ import annotations

from collections.abc import Callable

from pipeline.balancer.model import ApplicationTargetGroup, Declaration, TargetGroup


def with_held_requests(
    wanted: Declaration, former: Declaration | None, has_target: Callable[[str], bool]
) -> Declaration:
    """Return a declaration whose groups without a target hold requests on, if they do so in the `former` one.

    Otherwise the requests that are held would get an error, and so would those that arrive before the first target.
    """
    kept = {
        name: former.target_groups[name] for name in left_holding(wanted, former) if former and not has_target(name)
    }
    if not kept:
        return wanted
    groups = {
        name: group.model_copy(update={"hold_time": _hold_time(kept[name])}) if name in kept else group
        for name, group in wanted.target_groups.items()
    }
    return wanted.model_copy(update={"target_groups": groups})


def left_holding(wanted: Declaration, former: Declaration | None) -> list[str]:
    """Return the groups that hold requests in the `former` declaration, and do not in the wanted one."""
    if former is None:
        return []
    return [
        name
        for name, group in wanted.target_groups.items()
        if isinstance(group, ApplicationTargetGroup)
        and group.hold_time is None
        and name in former.target_groups
        and _hold_time(former.target_groups[name]) is not None
    ]


def _hold_time(group: TargetGroup) -> object:
    return group.hold_time if isinstance(group, ApplicationTargetGroup) else None
