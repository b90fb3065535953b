"""The end of drains of targets that the API has deregistered.

A pipeline's deployment ends the drains of its own targets. These have no deployment, so the daemon ends them, from the
registry alone: a restart continues where the former process stopped.
"""

from __future__ import annotations

from datetime import timedelta

from pipeline.balancer.balancer import Balancer
from pipeline.balancer.elbv2.target_group_attributes import terminates
from pipeline.balancer.resources import DECLARED, TargetGroupResource
from pipeline.balancer.targets import Registration
from pipeline.base.clock import SYSTEM, Stamp


def is_over(group: TargetGroupResource, since: Stamp, now: Stamp) -> bool:
    """Return whether the deregistration delay of a target, which was deregistered at `since`, is over."""
    return max(now.since(since), timedelta(0)) >= group.settings.deregistration_delay


def finish_drains(balancer: Balancer) -> None:
    """Remove the targets whose deregistration delay is over. Safe to repeat.

    Their connections are closed first, if ELB does so for the type of the group. Targets of pipeline.yaml stay.
    """
    registry, now = balancer.registry(), SYSTEM.now()
    for id_, known in registry.targets.items():
        group = registry.target_groups[id_]

        def ends(one: Registration, group: TargetGroupResource = group) -> bool:
            return is_over(group, one.since, now)

        if group.made_by != DECLARED and any(one.wanted == "out" and ends(one) for one in known):
            balancer.end_drains(group.owner, group.name, ends, abort=terminates(group))
