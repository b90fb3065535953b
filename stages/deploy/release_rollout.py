"""The rollout of a release: all its services, one after the other, or nothing."""

from __future__ import annotations

import re
import threading
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from datetime import timedelta
from functools import partial

from pipeline.api import StageContext
from pipeline.balancer.alternate import alternate_name, shares
from pipeline.balancer.balancer import Balancer
from pipeline.balancer.model import Declaration, SharedGroup, TargetState, Undeclared
from pipeline.balancer.resources import DECLARED
from pipeline.base.errors import EngineFault, HostLost
from pipeline.config.release import ReleaseSpec
from pipeline.engine.cluster import ClusterSpec
from pipeline.engine.cluster_members import containers_in
from pipeline.engine.clusters import open_cluster
from pipeline.engine.console import remove_abandoned
from pipeline.engine.interfaces import Engine
from pipeline.engine.labels import ROLE_ACCESSORY
from pipeline.engine.open_cluster import OpenCluster
from pipeline.event_kinds import EventKind
from pipeline.jobs.stop import stop_all
from stages.deploy.alternate_group import AlternateChange, AlternateGroup, with_current_alternates
from stages.deploy.holding_groups import left_holding, with_held_requests
from stages.deploy.hooks import lifecycle_hooks
from stages.deploy.host_images import HostImages
from stages.deploy.judge import JudgeFactory, MirroringFactory
from stages.deploy.judging import AlarmJudges
from stages.deploy.leaving_replicas import LeavingReplicas
from stages.deploy.lifecycle import HooksFactory
from stages.deploy.mirroring import Mirrorings
from stages.deploy.release_hosts import ReleaseHosts
from stages.deploy.service_rollout import ServiceRollout
from stages.deploy.service_targets import Place
from stages.deploy.stored_progress import StoredProgress


class ReleaseRollout:
    """Puts a release into service, or takes everything out of it.

    `engine` is the local one, and `cluster` where the replicas run, by default there. `hooks`, `judge` and `mirroring`
    make those of each service. By default, they are those of the release, and its
    `rollback_on` judges it.
    """

    def __init__(
        self,
        context: StageContext,
        engine: Engine,
        balancer: Balancer,
        cluster: OpenCluster | None = None,
        images: HostImages | None = None,
        *,
        hooks: HooksFactory | None = None,
        judge: JudgeFactory | None = None,
        mirroring: MirroringFactory | None = None,
    ) -> None:
        self._context = context
        self._pipeline = context.configuration.pipeline.name
        self.engine = engine
        self.cluster = cluster or open_cluster(ClusterSpec(), context.home.id, context.home.hosts, local=engine)
        self.runtime = self.cluster.runtime
        self.hosts = ReleaseHosts(context, self.cluster, images or HostImages(context, engine))
        self.balancer = balancer
        self._is_shared = isinstance(context.configuration.pipeline.balancer, SharedGroup)
        self._leaving = LeavingReplicas(context, self.cluster)
        self._hooks = hooks or partial(lifecycle_hooks, context, engine)
        self._judge = judge or AlarmJudges(context, balancer, self.runtime)
        self._mirroring = mirroring or Mirrorings(context, balancer)
        self._services: dict[tuple[str, Place, timedelta], ServiceRollout] = {}

    def roll_out(
        self,
        spec: ReleaseSpec,
        release: int,
        replicas: Mapping[str, int],
        cancelled: threading.Event | None = None,
        *,
        restarts: Collection[str] = (),
        stored: StoredProgress | None = None,
    ) -> None:
        """Make `spec` the only release in service. Raises what `RolloutExecutor.run` raises.

        Each service is replaced when the services before it are healthy. The error of one leaves those after it as
        they are. Services that are not in the release are removed at the end. All replicas of the services in
        `restarts` are replaced. Jobs have no replicas: their next run is of the release once it is active. `stored` is
        the progress of a deployment, in which the traffic of each service moves by its strategy. Without it, traffic
        that has moved goes back first.
        """
        self.prepare(spec)
        if stored is None:
            self._return_traffic(spec, release, replicas)
        for service in spec.replicated_services():
            self.service(spec, service.name).roll_out(
                service,
                release,
                replicas[service.name],
                cancelled,
                restarts=service.name in restarts,
                alternate=self.alternate(spec, service.name),
                stored=stored,
            )
        self.complete(spec)

    def alternate(self, spec: ReleaseSpec, name: str) -> AlternateGroup | None:
        """Return the alternate group of a service. None if it has no target group, or one of another owner."""
        group = spec.services[name].target_group
        if group is None or isinstance(spec.balancer, SharedGroup | Undeclared):
            return None
        return AlternateGroup(self.balancer, self._pipeline, group, lambda change: self._declare(spec, change))

    def _return_traffic(self, spec: ReleaseSpec, release: int, replicas: Mapping[str, int]) -> None:
        """Take all requests back to the home groups, of all services before anything else is done."""
        for service in spec.replicated_services():
            alternate = self.alternate(spec, service.name)
            if alternate is not None and alternate.share:
                rollout = self.service(spec, service.name)
                rollout.return_traffic(service, release, replicas[service.name], alternate)

    def fall_back(self) -> None:
        """Place replicas on the hosts of before the deployment, which has failed."""
        self.hosts.fall_back()

    def prepare(self, spec: ReleaseSpec) -> None:
        """Make the network and the listeners that the services need. May be repeated."""
        # Another program may have removed the network.
        self.runtime.prepare(self._pipeline)
        if not isinstance(spec.balancer, SharedGroup | Undeclared):
            self._declare(spec)

    def _declare(self, spec: ReleaseSpec, change: AlternateChange | None = None) -> None:
        """Declare what the release does, with the alternate groups that exist, and a change of one."""
        former = self.balancer.declaration(self._pipeline)
        wanted = with_held_requests(self._with_groups_of_others(spec), former, self._has_target)
        self.balancer.apply(self._pipeline, with_current_alternates(wanted, former, spec, change))

    def complete(self, spec: ReleaseSpec) -> None:
        """Remove what is not in the release. May be repeated."""
        others = self.others(spec)
        for name, place in others.items():
            self._one(name, place).remove(self._alternate_at(place))
        if isinstance(spec.balancer, Undeclared):
            self._withdraw()
        elif not isinstance(spec.balancer, SharedGroup):
            former = self.balancer.declaration(self._pipeline)
            if not others and not left_holding(spec.balancer, former):
                return
            self.balancer.apply(self._pipeline, with_current_alternates(spec.balancer, former, spec))

    def service(self, spec: ReleaseSpec, name: str) -> ServiceRollout:
        """Return the rollout of a service of the release. The same object for the same settings."""
        settings = spec.services[name]
        owner = spec.balancer.group_owner if isinstance(spec.balancer, SharedGroup) else self._pipeline
        return self._one(name, Place(owner, settings.target_group), settings.health_check.needed_uptime)

    def others(self, spec: ReleaseSpec | None) -> dict[str, Place]:
        """Return the services that have replicas or targets and none in the release, each with its place.

        Targets that another program has registered belong to no service.
        """
        service_of = {replica.name: replica.service for replica in self.runtime.list(self._pipeline)}
        nowhere = Place(None if self._is_shared else self._pipeline, None)
        found = dict.fromkeys(service_of.values(), nowhere)
        for place, target in self._targets():
            if service := service_of.get(target) or _service_in(target, self._pipeline):
                found[service] = place
        return {name: place for name, place in found.items() if spec is None or name not in spec.replicated}

    def tear_down(self) -> int:
        """Stop the jobs, drain and remove every replica, the listeners, and the network if no accessory is in it.

        Return the number of replicas.
        """
        stop_all(self._context, self.engine)
        count = sum(
            self._one(name, place).remove(self._alternate_at(place)) for name, place in self.others(None).items()
        )
        if not self._is_shared:
            self._withdraw()
        store, own = self._context.store, self._context.run
        self.engine.containers.remove_leftovers(
            self._pipeline, lambda: [run.number for run in store.runs.running(self._pipeline) if run.number != own]
        )
        self._remove_consoles()
        if not self.engine.containers.for_pipeline(self._pipeline, ROLE_ACCESSORY):
            self.clear()
        return count

    def clear(self) -> None:
        """Remove the networks. One stays, with a warning, while a container of another program is in it.

        So does what is on a lost host.
        """
        try:
            self.runtime.clear(self._pipeline)
        except HostLost:
            for host in self.runtime.lost:
                remedy = f"repeat `pipeline down` when it is back, or give it up with `pipeline node forget {host}`"
                self._context.events.emit(EventKind.DOWN_WARNING, f"host {host} is lost: what is on it stays; {remedy}")
        except EngineFault as fault:
            # Docker may still list a container of a replica that is removed.
            self._context.events.emit(EventKind.DOWN_WARNING, f"the network stays: {fault.message}")
        if not self.cluster.spec.is_local:
            self._clear_home()

    def _clear_home(self) -> None:
        """Remove the network of jobs, release commands and accessories, which are on this machine."""
        try:
            self.engine.networks.remove(self._pipeline)
        except EngineFault as fault:
            self._context.events.emit(EventKind.DOWN_WARNING, f"the network stays: {fault.message}")

    def _remove_consoles(self) -> None:
        """Remove the containers of commands whose process was killed, on this machine and on the hosts that answer."""
        remove_abandoned(self.engine.containers, self._pipeline)
        if not self.cluster.spec.is_local:
            # Those on lost hosts are found when they are back.
            with suppress(EngineFault):
                remove_abandoned(containers_in(self.cluster), self._pipeline)

    def _has_target(self, group: str) -> bool:
        found = self.balancer.target_health(self._pipeline, group)
        return any(health.state is TargetState.HEALTHY for health in found)

    def _with_groups_of_others(self, spec: ReleaseSpec) -> Declaration:
        """Return what the release declares, with the groups of services that are drained before their group goes."""
        former = self.balancer.declaration(self._pipeline)
        gone = former.target_groups.keys() - spec.balancer.target_groups.keys() if former else ()
        if former is None or not gone:
            return spec.balancer
        left = [place.group for place in self.others(spec).values()]
        kept = {group: former.target_groups[group] for group in left if group in gone}
        return spec.balancer.model_copy(update={"target_groups": {**spec.balancer.target_groups, **kept}})

    def _withdraw(self) -> None:
        declared = self._context.configuration.pipeline.balancer
        # A pipeline without a balancer has started none, unless it had one before.
        is_used = self.balancer.declaration(self._pipeline) is not None or self.balancer.pid() is not None
        if is_used or not isinstance(declared, Undeclared):
            self.balancer.withdraw(self._pipeline)

    def _one(self, name: str, place: Place, uptime: timedelta = timedelta(0)) -> ServiceRollout:
        key = (name, place, uptime)
        if key not in self._services:
            self._services[key] = ServiceRollout(
                self._context,
                self.runtime,
                self.balancer,
                self._leaving,
                name,
                place,
                uptime,
                hooks=self._hooks,
                judge=self._judge,
                mirroring=self._mirroring,
            )
        return self._services[key]

    def _alternate_at(self, place: Place) -> AlternateGroup | None:
        """Return the alternate group of a service that is removed, as far as it exists."""
        is_own = place.owner == self._pipeline and place.group is not None
        return AlternateGroup(self.balancer, self._pipeline, place.group or "", _keep) if is_own else None

    def _home_of(self, group: str) -> str:
        """Return the home group of an alternate group, or the group itself."""
        declared = self.balancer.declaration(self._pipeline)
        homes = {alternate_name(home): home for home in shares(declared)} if declared else {}
        return homes.get(group, group)

    def _targets(self) -> Iterator[tuple[Place, str]]:
        """Yield each target in the groups that the pipeline has targets in now, with its place."""
        registry, own = self.balancer.registry(), (self._pipeline, DECLARED)
        if self._is_shared:
            groups = registry.groups_with(f"{self._pipeline}.")
        else:
            every = registry.target_groups.values()
            groups = [(group.owner, group.name) for group in every if (group.owner, group.made_by) == own]
        for owner, group in groups:
            home = group if self._is_shared else self._home_of(group)
            for registered in registry.registrations(owner, group):
                yield Place(owner, home), registered.target.id


def _keep(_: AlternateChange) -> None:
    """Change nothing: the group goes with everything else that is declared."""


def _service_in(target: str, pipeline: str) -> str | None:
    """Return the service in the name of a replica that is gone, or None for a target of another program."""
    found = re.fullmatch(rf"{re.escape(pipeline)}\.([^.]+)\.r[0-9]+\.[0-9a-f]+", target)
    return found[1] if found else None
