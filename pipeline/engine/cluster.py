"""A cluster: where the replicas of one pipeline run. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from pipeline.engine.host import LOCAL, HostSpec
from pipeline.engine.placement import Placement

LOCAL_HOST = HostSpec(LOCAL)
"""The host of a cluster without hosts: the local engine, under the name `local`."""
SWARM = "swarm"
"""The address of the Swarm that the local engine manages."""
SWARM_MEMBER = HostSpec(SWARM, SWARM, address="")
"""The Swarm as a member of a cluster. It stands for all its nodes."""


class RuntimeName(StrEnum):
    """What starts replicas: Docker engines, each asked for itself, or the Swarm of the local engine."""

    DOCKER = "docker"
    SWARM = "swarm"


@dataclass(frozen=True)
class ClusterHost:
    """A host of a cluster. One that takes no replicas gets none, and those on it are replaced elsewhere."""

    spec: HostSpec
    takes_replicas: bool = True

    @property
    def name(self) -> str:
        """The name of the host, its identity in the cluster."""
        return self.spec.name


@dataclass(frozen=True)
class ClusterSpec:
    """The runtime of a pipeline's replicas and its hosts, by their order. Without hosts, it is the local engine alone.

    `nodes` are the engines of nodes of the Swarm that are known, by the host names of the nodes. Replicas on
    `drained_nodes` are replaced elsewhere.

    `placement` chooses the host of a replica. The address of a host may be empty in a declared cluster: then it is
    looked up when a deployment begins.
    """

    runtime: RuntimeName = RuntimeName.DOCKER
    placement: Placement = Placement.SPREAD
    hosts: tuple[ClusterHost, ...] = ()
    nodes: tuple[HostSpec, ...] = ()
    drained_nodes: tuple[str, ...] = ()

    @property
    def is_local(self) -> bool:
        """Whether the local engine alone has the replicas."""
        return self.runtime is RuntimeName.DOCKER and not self.hosts

    @property
    def specs(self) -> tuple[HostSpec, ...]:
        """The specifications of the hosts, the Swarm or the local engine if it is alone."""
        return tuple(host.spec for host in self.hosts) or (self._alone,)

    @property
    def engines(self) -> tuple[HostSpec, ...]:
        """The engines that may have containers of replicas, as far as they are known. The Swarm itself is none."""
        return (*(spec for spec in self.specs if spec.docker != SWARM), *self.nodes)

    @property
    def taking(self) -> tuple[str, ...]:
        """The names of the hosts that take replicas."""
        return tuple(host.name for host in self.hosts if host.takes_replicas) if self.hosts else (self._alone.name,)

    @property
    def _alone(self) -> HostSpec:
        return SWARM_MEMBER if self.runtime is RuntimeName.SWARM else LOCAL_HOST

    def host(self, name: str) -> ClusterHost | None:
        """Return the host of this name, or None."""
        return next((host for host in self.hosts if host.name == name), None)

    def host_at(self, address: str) -> str:
        """Return the name of the host whose targets have this address. Empty if the local engine is alone.

        Targets on the local engine have the addresses of their containers.
        """
        local = next((host.name for host in self.hosts if host.spec.docker == LOCAL), "")
        return next((host.name for host in self.hosts if host.spec.address == address), local)

    def is_declared_by(self, declared: ClusterSpec) -> bool:
        """Return whether it is what a file declares, where an address that is not declared may be any."""

        def described(cluster: ClusterSpec) -> list[tuple[str, ...]]:
            specs = zip((*cluster.specs, *cluster.nodes), (*declared.specs, *declared.nodes), strict=False)
            return [(own.name, own.docker, own.zone, own.address if file.address else "") for own, file in specs]

        sizes = [(len(each.hosts), len(each.nodes)) for each in (self, declared)]
        same = (self.runtime, self.placement, sizes[0]) == (declared.runtime, declared.placement, sizes[1])
        return same and described(self) == described(declared)
