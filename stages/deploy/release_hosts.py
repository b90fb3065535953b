"""The hosts of a pipeline's replicas, during a deployment or a repair."""

from __future__ import annotations

from collections.abc import Mapping

from pipeline.api import StageContext
from pipeline.base.errors import EngineFault
from pipeline.config.release import ReleaseSpec
from pipeline.engine.cluster import SWARM
from pipeline.engine.host import LOCAL, HostSpec
from pipeline.engine.interfaces import Engine
from pipeline.engine.open_cluster import OpenCluster
from pipeline.engine.swarm.nodes import close_node
from pipeline.engine.swarm.service_state import is_of_swarm
from pipeline.engine.swarm.swarm import Availability
from pipeline.event_kinds import EventKind
from stages.deploy.host_images import HostImages


class ReleaseHosts:
    """Gives hosts the images of a release, and forgets those that have left. Idle for the local engine alone."""

    def __init__(self, context: StageContext, cluster: OpenCluster, images: HostImages) -> None:
        self._context = context
        self._pipeline = context.configuration.pipeline.name
        self._cluster = cluster
        self._images = images

    @property
    def engines(self) -> Mapping[str, Engine]:
        """The engines of the other machines that answer, by the names of the hosts."""
        if self._cluster.spec.is_local:
            return {}
        others = {host.name for host in self._cluster.spec.hosts if host.spec.docker != LOCAL}
        return {name: engine for name, engine in self._cluster.engines.items() if name in others}

    def send_images(self, spec: ReleaseSpec) -> None:
        """Give the images of a release to the hosts that take replicas and answer. A lost one gets them before a start.

        Raises `EngineFault` if a host refuses one, and `Cancelled`.
        """
        if self._cluster.spec.is_local:
            return
        self._cluster.runtime.prepare(self._pipeline)
        hosts = self._cluster.taking_engines
        try:
            self._images.send(spec, hosts)
        except EngineFault:
            # The list waits for a host that does not answer. One that is lost by then is not needed.
            self._cluster.runtime.list(self._pipeline)
            self._images.send(spec, {name: each for name, each in self._cluster.engines.items() if name in hosts})

    def fall_back(self) -> None:
        """Place replicas on the hosts of before the deployment, also if they have other names by now."""
        before = self._context.store.clusters.of(self._pipeline)
        engines = {spec.engine for spec in before.specs if spec.name in before.taking}
        self._cluster.let_take([spec.name for spec in self._cluster.spec.specs if spec.engine in engines])

    def close_node(self, name: str) -> None:
        """Let a node of the Swarm take no tasks, of no program. It has no replicas of the pipeline any more."""
        if self._cluster.swarm is None:
            return
        availability = close_node(self._cluster.swarm, name)
        if availability is Availability.PAUSE:
            text = f"node {name} has tasks of other services or pipelines: it is paused, and they stay"
            self._context.events.emit(EventKind.DEPLOYMENT_WARNING, text)

    def empty(self) -> list[HostSpec]:
        """Return the hosts that have left and have no replicas any more. Lost ones are not known to be empty."""
        leaving = () if self._cluster.spec.is_local else self._context.store.clusters.leaving(self._pipeline)
        if not leaving:
            return []
        left = [replica for replica in self._cluster.runtime.list(self._pipeline) if replica.is_leaving]
        used = {SWARM if is_of_swarm(replica) else replica.host for replica in left} | {*self._cluster.runtime.lost}
        return [spec for spec in leaving if spec.name not in used and self._cluster.spec.host(spec.name) is not None]

    def forget(self, *, is_told: bool = True) -> None:
        """Forget the empty hosts, and remove their networks of the pipeline. A fault is a warning. May be repeated.

        `is_told`: an event tells of each of them.
        """
        try:
            self._forget(is_told=is_told)
        except EngineFault as fault:
            text = f"hosts that have left are not forgotten yet: {fault.message}"
            self._context.events.emit(EventKind.DEPLOYMENT_WARNING, text)

    def _forget(self, *, is_told: bool) -> None:
        for spec in self.empty():
            self._remove_rest(spec)
            if self._context.store.clusters.forget(self._pipeline, spec.name) and is_told:
                text = f"host {spec.name} has left: no replica is on it"
                self._context.events.emit(EventKind.HOST_FORGOTTEN, text, host=spec.name)

    def _remove_rest(self, spec: HostSpec) -> None:
        """Remove the images and the network of the pipeline from a host."""
        engine = self._cluster.engines.get(spec.name)
        if engine is None or spec.docker == LOCAL:
            return
        try:
            # On this machine, jobs, accessories and rollbacks need them.
            if self._images.is_source(engine):
                return
            for image in engine.images.for_pipeline(self._pipeline):
                engine.images.remove(image)
            engine.networks.remove(self._pipeline)
        except EngineFault as fault:
            text = f"an image or the network on host {spec.name} stays: {fault.message}"
            self._context.events.emit(EventKind.DEPLOYMENT_WARNING, text)
