"""The machines that run the replicas of a pipeline, as `pipeline node` shows and changes them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from pipeline.base.errors import ConfigError, EngineFault
from pipeline.base.suggestion import did_you_mean
from pipeline.engine.cluster import ClusterSpec
from pipeline.engine.open_cluster import OpenCluster
from pipeline.event_kinds import EventKind
from pipeline.events import Events
from pipeline.store.store import Store


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
    """The hosts of a pipeline, or the local engine. `connect` opens a cluster."""

    def __init__(
        self, store: Store, pipeline: str, events: Events, connect: Callable[[ClusterSpec], OpenCluster]
    ) -> None:
        self._store = store
        self._pipeline = pipeline
        self._events = events
        self._connect = connect

    def all(self) -> list[Node]:
        """Return the hosts, with the numbers of their replicas."""
        counts: dict[str, int] | None = None
        faults: dict[str, str] = {}
        with closing(self._connect(self._cluster)) as cluster:
            try:
                found = Counter(replica.host for replica in cluster.runtime.list(self._pipeline))
                counts = {spec.name: found[spec.name] for spec in self._cluster.specs}
                faults = dict.fromkeys(cluster.runtime.lost, "it does not answer")
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
        self._check_name(name)
        if not {*self._cluster.taking} - {name}:
            raise ConfigError(
                f"{name} is the only host that takes replicas",
                hint="add another one to deploy.hosts and deploy, or let one take replicas: pipeline node resume NAME",
            )

    def resume(self, name: str) -> bool:
        """Let a drained host take replicas again. The next deployment, or a lost replica, uses it."""
        self._check_name(name)
        if not self._store.clusters.resume(self._pipeline, name):
            return False
        self._events.emit(EventKind.HOST_RESUMED, f"host {name} takes replicas again", host=name)
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
        self._events.emit(EventKind.HOST_FORGOTTEN, text, host=name)

    @property
    def _cluster(self) -> ClusterSpec:
        return self._store.clusters.of(self._pipeline)

    def _check_name(self, name: str) -> None:
        names = [spec.name for spec in self._cluster.specs]
        if name not in names:
            raise ConfigError(f"{self._pipeline} has no host {name}", hint=did_you_mean(name, names))


def _use(name: str, leaving: set[str], drained: frozenset[str]) -> NodeUse:
    if name in leaving:
        return NodeUse.LEAVING
    return NodeUse.DRAINED if name in drained else NodeUse.ACTIVE
