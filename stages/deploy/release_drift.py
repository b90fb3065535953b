"""Differences from the active release, found and repaired while no deployment runs."""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterator
from dataclasses import replace
from typing import NamedTuple

from pipeline.api import StageContext
from pipeline.balancer.model import Declaration, SharedGroup, Undeclared
from pipeline.balancer.planes import open_balancer
from pipeline.balancer.registry import Registry
from pipeline.base.errors import Cancelled, PenstockError
from pipeline.config.release import ReleaseSpec
from pipeline.engine.cluster import ClusterSpec
from pipeline.engine.hosts import local_engine
from stages.deploy.desired import wanted_replicas
from stages.deploy.host_images import HostImages
from stages.deploy.release_cluster import open_release_cluster
from stages.deploy.release_rollout import ReleaseRollout
from stages.deploy.service_drift import ServiceDrift


class _Comparison(NamedTuple):
    """Whether a registry declares what a release does."""

    registry: Registry
    declaration: Declaration
    declares: bool


class ReleaseDrift:
    """Finds and repairs the differences of one pipeline. Keeps its connections between calls."""

    def __init__(self, context: StageContext) -> None:
        self._context = context
        self._pipeline = context.configuration.pipeline.name
        self._engine = local_engine(context.home.id)
        self._images = HostImages(context, self._engine)
        self._balancer = open_balancer(context.home.balancer)
        self._rollout = self._open(ClusterSpec())
        self._services: dict[str, ServiceDrift] = {}
        self._compared: _Comparison | None = None
        self._is_stable = False

    def close(self) -> None:
        """Close the connections to the engines."""
        self._rollout.cluster.close()
        self._engine.close()

    def findings(self) -> list[str]:
        """Return one line for each difference from the active release."""
        self._is_stable = True
        found = self._release()
        if found is None:
            return []
        # Also if the observation fails.
        self._is_stable = False
        self._follow_cluster()
        number, spec = found
        lines = ["what is declared is not what the balancer has"] if self._undeclared(spec) else []
        lines += [line for name in spec.replicated for line in self._findings_of(name, spec, number)]
        lines += [f"the service {name} is not in release {number}" for name in self._rollout.others(spec)]
        lines += [f"host {host.name} has left and is empty" for host in self._rollout.hosts.empty()]
        self._is_stable = all(self._drift(name).is_stable() for name in spec.replicated)
        return lines

    def exited(self, replica: str, exit_code: int) -> None:
        """Report an exit that the engine reports, before its list shows it."""
        for drift in list(self._services.values()):
            drift.exited(replica, exit_code)

    def lost(self) -> Collection[str]:
        """Return the hosts whose replicas the last findings lack."""
        return self._rollout.runtime.lost

    def is_stable(self) -> bool:
        """Return whether the last findings stay the same until the engine or the balancer reports a change."""
        return self._is_stable

    def repair(self, cancelled: threading.Event) -> None:
        """Repair what `findings` returns, by the steps and limits of a deployment.

        A service that cannot be repaired keeps no other one from being repaired. Raises the first error at the end.
        """
        found = self._release()
        if found is None:
            return
        self._follow_cluster()
        number, spec = found
        self._rollout.prepare(spec)
        wanted = wanted_replicas(self._context, spec.replicated)
        failures: list[PenstockError] = []
        for service in spec.replicated_services():
            rollout = self._rollout.service(spec, service.name)
            try:
                alternate, count = self._rollout.alternate(spec, service.name), wanted[service.name]
                self._drift(service.name).repair(rollout, service, number, count, cancelled, alternate)
            except Cancelled:
                raise
            except PenstockError as failure:
                failures.append(failure)
        self._rollout.complete(spec)
        self._rollout.hosts.forget()
        if failures:
            raise failures[0]

    def _follow_cluster(self) -> None:
        """Use the hosts that the last deployment has set, and that `pipeline node` has changed since."""
        cluster, known = self._context.store.clusters.of(self._pipeline), self._rollout.cluster
        if cluster == known.spec:
            return
        is_reached = cluster.specs == known.spec.specs and not cluster.is_local
        if is_reached and replace(cluster, hosts=()) == replace(known.spec, hosts=()):
            known.let_take(cluster.taking)
            return
        # Opened first, so that a tunnel that both use stays.
        self._rollout = self._open(cluster)
        known.close()
        # What they remember is of the former connections.
        self._services = {}

    def _open(self, cluster: ClusterSpec) -> ReleaseRollout:
        opened = open_release_cluster(self._context, cluster, self._engine, self._images)
        return ReleaseRollout(self._context, self._engine, self._balancer, opened, self._images)

    def _findings_of(self, name: str, spec: ReleaseSpec, number: int) -> Iterator[str]:
        rollout, wanted = self._rollout.service(spec, name), wanted_replicas(self._context, [name])[name]
        for line in self._drift(name).findings(rollout, spec.service(name), number, wanted):
            yield f"{name}: {line}" if spec.shared else line

    def _drift(self, name: str) -> ServiceDrift:
        return self._services.setdefault(name, ServiceDrift(self._context))

    def _release(self) -> tuple[int, ReleaseSpec] | None:
        """Return the active release, None while an interrupted deployment is held, which moves away from it."""
        store = self._context.store
        interrupted = store.deployments.open(self._pipeline)
        if interrupted is not None and store.progress.can_continue(interrupted):
            return None
        active = self._context.store.releases.active(self._pipeline)
        return (active.number, ReleaseSpec.parse(active.spec)) if active else None

    def _undeclared(self, spec: ReleaseSpec) -> bool:
        registry, known = self._balancer.registry(), self._compared
        if isinstance(spec.balancer, SharedGroup):
            owner = spec.balancer.group_owner
            return owner is not None and not all(
                registry.has_group(owner, name) for name in spec.balancer.target_groups
            )
        if isinstance(spec.balancer, Undeclared):
            return registry.declaration(self._pipeline) is not None
        # Both are the same objects until one of them changes.
        if known is None or known.registry is not registry or known.declaration is not spec.balancer:
            declares = registry.declares(self._pipeline, spec.balancer)
            known = self._compared = _Comparison(registry, spec.balancer, declares)
        return not known.declares
