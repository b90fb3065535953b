"""The machines that run the replicas of a pipeline, as `pipeline node` shows and changes them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import closing
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from pipeline.base.errors import ConfigError, EngineFault
from pipeline.base.suggestion import did_you_mean
from pipeline.engine.cluster import SWARM, ClusterSpec, RuntimeName
from pipeline.engine.open_cluster import OpenCluster
from pipeline.engine.reachable_host import HostChange
from pipeline.engine.swarm.nodes import open_node
from pipeline.engine.swarm.replica_service import ZONE
from pipeline.engine.swarm.service_state import is_of_swarm
from pipeline.engine.swarm.swarm import Availability, SwarmNode
from pipeline.event_kinds import EventKind
from pipeline.events import Events
from pipeline.store.store import Store

Connect = Callable[[ClusterSpec, Callable[[HostChange], object]], OpenCluster]


class NodeUse(StrEnum):
    """Whether a node takes replicas. One that has left takes none, and is forgotten when it is empty."""

    ACTIVE = "active"
    DRAINED = "drained"
    LEAVING = "leaving"


@dataclass(frozen=True)
class Node:
    """A machine that may have replicas. `replicas` is None if it does not answer, and `fault` says why."""

    name: str
    engine: str
    zone: str
    address: str
    use: NodeUse
    replicas: int | None = None
    fault: str = ""


class Nodes(Protocol):
    """The nodes of one pipeline. A name that is none raises `ConfigError`, which lists them.

    A run of the kind `drain` moves the replicas of a node and lets it take none: see `Deployer.drain`.
    """

    def all(self) -> list[Node]:
        """Return the nodes, with the numbers of their replicas. Waits ten seconds for one that does not answer."""

    def check_drain(self, name: str) -> None:
        """Raise `ConfigError` if a node cannot be drained: there is none of this name, or no other takes replicas."""

    def resume(self, name: str) -> bool:
        """Let a drained node take replicas again. Returns False if it was not drained."""

    def forget(self, name: str) -> None:
        """Give up a node that has left, with what may still be there. Raises `ConfigError` if it has not left."""


class HostNodes:
    """The hosts of a pipeline, or the local engine. `connect` opens a cluster, and calls what it gets with changes."""

    def __init__(self, store: Store, pipeline: str, events: Events, connect: Connect) -> None:
        self._store = store
        self._pipeline = pipeline
        self._events = events
        self._connect = connect

    def all(self) -> list[Node]:
        """Return the hosts and the nodes of the Swarm, with the numbers of their replicas."""
        changes: list[HostChange] = []
        with closing(self._connect(self._cluster, changes.append)) as cluster:
            hosts = self._hosts(cluster, changes)
            return [
                node for host in hosts for node in (self._in_swarm(cluster, host) if host.engine == SWARM else [host])
            ]

    def _in_swarm(self, cluster: OpenCluster, swarm: Node) -> list[Node]:
        """Return the nodes of the Swarm, or the Swarm itself if it does not answer."""
        if cluster.swarm is None or swarm.fault:
            return [swarm]
        replicas = Counter(each.host for each in cluster.runtime.list(self._pipeline) if is_of_swarm(each))
        drained = self._store.clusters.drained(self._pipeline)
        return [
            Node(
                name=node.name,
                engine=SWARM,
                zone=node.labels.get(ZONE, ""),
                address=node.address,
                use=_use_of_node(node, swarm.use, drained),
                replicas=replicas[node.name],
                fault="" if node.is_ready else "it is down",
            )
            for node in cluster.swarm.nodes()
        ]

    def _hosts(self, cluster: OpenCluster, changes: Iterable[HostChange]) -> list[Node]:
        counts: dict[str, int] | None = None
        faults: dict[str, str] = {}
        try:
            listed = cluster.runtime.list(self._pipeline)
            found = Counter(replica.host for replica in listed if not is_of_swarm(replica))
            counts = {spec.name: found[spec.name] for spec in self._cluster.specs}
            causes = {change.host: change.cause for change in changes if change.is_lost}
            # Another thread may have found the loss, and not told it yet.
            faults = {name: causes.get(name, "it does not answer") for name in cluster.runtime.lost}
        except EngineFault as fault:
            faults = {spec.name: fault.message for spec in self._cluster.specs}
        drained = self._store.clusters.drained(self._pipeline)
        leaving = {spec.name for spec in self._store.clusters.leaving(self._pipeline)}
        return [
            Node(
                name=spec.name,
                engine=spec.docker,
                zone=spec.zone,
                address=spec.address,
                use=_use(spec.name, leaving, drained),
                replicas=None if counts is None or spec.name in faults else counts[spec.name],
                fault=faults.get(spec.name, ""),
            )
            for spec in self._cluster.specs
        ]

    def check_drain(self, name: str) -> None:
        """Raise `ConfigError` if there is no host of this name, or if no other one takes replicas."""
        others = self._others(name)
        if not others:
            raise ConfigError(
                f"{name} is the only host that takes replicas",
                hint="add another one to deploy.hosts and deploy, or let one take replicas: pipeline node resume NAME",
            )

    def resume(self, name: str) -> bool:
        """Let a drained host take replicas again. The next deployment, or a lost replica, uses it."""
        self._others(name)
        if not self._store.clusters.resume(self._pipeline, name):
            return False
        if self._cluster.runtime is RuntimeName.SWARM:
            with closing(self._connect(self._cluster, lambda _: None)) as cluster:
                if cluster.swarm is not None:
                    open_node(cluster.swarm, name)
        self._events.emit_action(EventKind.HOST_RESUMED, f"host {name} takes replicas again", host=name)
        return True

    def forget(self, name: str) -> None:
        """Give up a host that has left, with the replicas that may still run there."""
        self._check_name(name)
        if not self._store.clusters.forget(self._pipeline, name):
            raise ConfigError(
                f"host {name} has not left: a deployment uses it",
                hint="take it out of deploy.hosts and deploy, or drain it: pipeline node drain " + name,
            )
        text = f"host {name} is forgotten, with what may still run there"
        self._events.emit_action(EventKind.HOST_FORGOTTEN, text, host=name)

    def _others(self, name: str) -> set[str]:
        """Return the others that take replicas. Raises `ConfigError` if there is none of this name."""
        if self._cluster.runtime is not RuntimeName.SWARM:
            self._check_name(name)
            return {*self._cluster.taking} - {name}
        nodes = [node for node in self.all() if node.engine == SWARM]
        names = [node.name for node in nodes]
        if name not in names:
            raise ConfigError(f"the Swarm has no node {name}", hint=did_you_mean(name, names))
        return {node.name for node in nodes if node.use is NodeUse.ACTIVE and not node.fault} - {name}

    @property
    def _cluster(self) -> ClusterSpec:
        return self._store.clusters.of(self._pipeline)

    def _check_name(self, name: str) -> None:
        names = [spec.name for spec in self._cluster.specs]
        if name not in names:
            raise ConfigError(f"{self._pipeline} has no host {name}", hint=did_you_mean(name, names))


def _use_of_node(node: SwarmNode, swarm: NodeUse, drained: frozenset[str]) -> NodeUse:
    if swarm is NodeUse.LEAVING:
        return swarm
    is_open = node.availability is Availability.ACTIVE and node.name not in drained
    return NodeUse.ACTIVE if is_open else NodeUse.DRAINED


def _use(name: str, leaving: set[str], drained: frozenset[str]) -> NodeUse:
    if name in leaving:
        return NodeUse.LEAVING
    return NodeUse.DRAINED if name in drained else NodeUse.ACTIVE
