"""The plan of a deployment: what it would do, in the order in which it would be done."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import NamedTuple

from pipeline.api import PlanFact, StageContext
from pipeline.balancer.balancer import Balancer
from pipeline.balancer.model import SharedGroup, TargetState, Undeclared
from pipeline.config.hooks import OF_ROLLING
from pipeline.config.job import describe_schedule
from pipeline.config.logging_driver import unreadable
from pipeline.config.release import ReleaseSpec
from pipeline.config.service_spec import ServiceSpec
from pipeline.engine.cluster import SWARM, ClusterSpec, RuntimeName
from stages.deploy.alternate_group import with_current_alternates
from stages.deploy.decision import DesiredState, Observation, Replica
from stages.deploy.desired import declared_replicas, desired
from stages.deploy.held_deployment import new_template
from stages.deploy.hook_plan import planned_hooks
from stages.deploy.planned_placement import PlannedPlacement
from stages.deploy.release_rollout import ReleaseRollout
from stages.deploy.replicas import ReplicaSet
from stages.deploy.service_rollout import shifts
from stages.deploy.shift_plan import shift_steps
from stages.deploy.simulation import RolloutPlan, simulate
from stages.deploy.zones import spread


def plan_release(
    context: StageContext,
    rollout: ReleaseRollout,
    spec: ReleaseSpec,
    *,
    is_new: bool,
    kept: Mapping[str, int] | None = None,
) -> list[str]:
    """Return the steps of a rollout to a release, and its limits. Changes nothing.

    `kept` are the numbers of replicas of a rollback, which keeps them and the hosts, and uses no strategy.
    """
    name, balancer = context.configuration.pipeline.name, rollout.balancer
    needs_balancer = not isinstance(spec.balancer, Undeclared)
    dead = needs_balancer and balancer.pid() is None
    same = _is_declared(balancer, name, spec) if needs_balancer else balancer.declaration(name) is None
    waiting = [str(found) for found in balancer.waiting_after(name, spec.balancer)] if needs_balancer else []
    choices = balancer.plane_choices(name, spec.balancer) if needs_balancer else []
    carried = [f"{each.listener.url or each.label} is {choice}" for each, choice in choices if each.owner == name]
    # Build has planned the pull of `deploy.image`.
    given = context.configuration.pipeline.deploy.image
    missing = dict.fromkeys(image.name for image in spec.images.values() if not image.id and image.name != given)
    before = [f"pull {name}" for name in missing]
    before += _command(spec) if is_new else []
    parts = [
        _ServicePlan.of(context, rollout, spec, service, dead=dead, is_new=is_new, kept=kept)
        for service in spec.replicated_services()
    ]
    steps = [step for part in parts for step in part.steps]
    steps += [f"remove the service {other}" for other in rollout.others(spec)]
    # A release that changes only a job replaces nothing.
    jobs = _jobs(spec) if is_new or steps else []
    hosts = _hosts(context) if kept is None else []
    if same and not (steps or jobs or hosts):
        return [*before, *map(PlanFact, ["nothing to do: the wanted release is already active", *waiting])]
    change = "start the balancer" if dead else "reload the balancer: its target groups or listeners change"
    if steps and SWARM in rollout.cluster.spec.taking:
        steps.append(PlanFact("the Swarm chooses the node of each new container"))
    limits = [part.limits for part in parts if part.steps or len(parts) == 1]
    lost = [f"{name}: {text}" for name, each in spec.services.items() if (text := unreadable(each.logging))]
    lost += [f"host {name} does not answer and gets no containers" for name in rollout.runtime.lost]
    if set(rollout.cluster.spec.taking) <= set(rollout.runtime.lost):
        lost.append("no host answers, so a run would fail: `pipeline doctor` says why")
    facts = map(PlanFact, [*jobs, *limits, *carried, *waiting, *lost])
    return [*before, *hosts, *([] if same else [change]), *steps, *facts]


def _is_declared(balancer: Balancer, name: str, spec: ReleaseSpec) -> bool:
    """Return whether the release changes nothing but the alternate groups, which an open deployment has declared."""
    if balancer.declares(name, spec.balancer):
        return True
    former = balancer.declaration(name)
    if former is None or isinstance(spec.balancer, SharedGroup):
        return False
    return balancer.declares(name, with_current_alternates(spec.balancer, former, spec))


class _ServicePlan(NamedTuple):
    """The steps of one service, and its limits. Each line begins with the service's name if there are several."""

    steps: list[str]
    limits: str

    @classmethod
    def of(
        cls,
        context: StageContext,
        rollout: ReleaseRollout,
        spec: ReleaseSpec,
        service: ServiceSpec,
        *,
        dead: bool,
        is_new: bool,
        kept: Mapping[str, int] | None,
    ) -> _ServicePlan:
        replicas = (declared_replicas(context) if kept is None else kept)[service.name]
        wanted = desired(service, replicas, context.configuration.secrets)
        one = rollout.service(spec, service.name)
        started = new_template(context, service.name)
        # Those of an open deployment go with it, or are the new ones of the run that continues it.
        replica_set = one.replica_set()
        seen = tuple(r for r in replica_set.observe().replicas if started is None or r.made_from != started)
        # A deployment starts HAProxy first. Targets that were healthy then become healthy again.
        now = Observation(tuple(map(_revived, seen)) if dead and service.group else seen)
        zones = spec.balancer.zones_of(service.settings.target_group) if service.settings.target_group else ()
        prefix = f"{service.name}: " if spec.shared else ""
        strategy = service.settings.strategy if kept is None else None
        if rollout.alternate(spec, service.name) and strategy and shifts(service, wanted, seen):
            steps, limits = shift_steps(service, strategy, sum(r.is_running for r in seen), replicas)
            shares = _shares(_placement(rollout, replica_set, seen), wanted, zones)
            facts = [PlanFact(f"{prefix}{share}") for share in shares]
            return cls([*(f"{prefix}{step}" for step in steps), *facts], f"{prefix}{limits}")
        at_zero = context.store.services.wanted(context.configuration.pipeline.name, service.name) == 0
        plan = simulate(now, replace(wanted, zones=zones), one.strategy, _placement(rollout, replica_set, seen))
        rolled = [*plan.steps]
        if is_new:
            before, after = (planned_hooks(service, event) for event in OF_ROLLING)
            rolled = [*before, *rolled, *after]
        return cls([f"{prefix}{step}" for step in rolled], f"{prefix}{_limits(now, wanted, plan, at_zero=at_zero)}")


def _placement(rollout: ReleaseRollout, replica_set: ReplicaSet, seen: Collection[Replica]) -> PlannedPlacement | None:
    """Return what chooses the hosts of new replicas, None for the local engine alone and for a Swarm."""
    if rollout.cluster.spec.is_local or SWARM in rollout.cluster.spec.taking:
        return None
    present = {r.name: (host, r.made_from) for r in seen if (host := replica_set.host_of(r.name))}
    return PlannedPlacement(rollout.cluster.spec, present, rollout.runtime.lost)


def _shares(placement: PlannedPlacement | None, wanted: DesiredState, zones: Sequence[str]) -> Iterator[str]:
    """Yield the numbers of new replicas by host, of a deployment that starts all at once."""
    if placement is None:
        return
    chosen = spread(zones, ())
    hosts = [placement.place(f"new-{n}", wanted.template, next(chosen)) for n in range(wanted.replicas)]
    counts = Counter(host.name for host in hosts if host)
    yield f"the new containers are on {', '.join(f'{name}: {count}' for name, count in sorted(counts.items()))}"


def _hosts(context: StageContext) -> list[str]:
    """Return the change of the hosts, if the file has others than the last deployment."""
    pipeline = context.configuration.pipeline
    wanted, settled = pipeline.deploy.cluster, context.store.clusters.settled(pipeline.name)
    if settled.is_declared_by(wanted):
        return []
    return [f"use {_described(wanted)}; before: {_described(settled)}"]


def _described(cluster: ClusterSpec) -> str:
    if cluster.is_local:
        return "this machine"
    if cluster.runtime is RuntimeName.SWARM:
        return "the Swarm of this machine"
    return f"the hosts {', '.join(spec.name for spec in cluster.specs)} with placement {cluster.placement}"


def _command(spec: ReleaseSpec) -> list[str]:
    """Return the step of the release command. It runs once for each new release."""
    command = spec.settings.release_command
    return [f"run the release command in the new image: {' '.join(command.command)}"] if command else []


def _jobs(spec: ReleaseSpec) -> list[str]:
    """Return when each job runs from the new release on. A deployment starts no container of it."""
    found = ((name, spec.services[name]) for name in spec.jobs)
    return [
        f"{name}: runs {describe_schedule(settings.schedule, settings.timezone)}"
        for name, settings in found
        if settings.schedule
    ]


def _revived(replica: Replica) -> Replica:
    sick = replica.target is TargetState.UNHEALTHY
    return replace(replica, target=TargetState.HEALTHY, not_healthy_for=timedelta(0)) if sick else replica


def _limits(now: Observation, wanted: DesiredState, plan: RolloutPlan, *, at_zero: bool) -> str:
    """Return the lowest number of healthy targets during the rollout, and the highest number of containers."""
    if at_zero and not now.replicas:
        return (
            f"scaled to zero: requests wait until the first target is healthy; containers: at most {plan.most_running}"
        )
    kept = f"the rollout keeps at least {min(wanted.min_healthy, plan.lowest_healthy)}"
    healthy = kept if any(replica.healthy for replica in now.replicas) else "none before the rollout"
    return f"healthy targets: {healthy}; containers: at most {plan.most_running}"
