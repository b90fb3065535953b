"""Faults of machines, cables and managers, at a project whose daemon runs under load."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from pipeline.balancer.model import TargetState
from pipeline.testing.machines.server import Server
from pipeline.testing.machines.site import Site
from pipeline.testing.machines.swarm import await_nodes, leader
from tests.docker.cluster_work import assert_whole
from tests.docker.project import DEADLINE, until
from tests.docker.serving import Serving
from tests.docker.site_project import SiteProject

# Seconds. Longer than a host may be silent before it is lost, and than Swarm takes to call a node down.
_LONG_CUT = 3 * DEADLINE

Lost = set[str]
"""The addresses of machines that a fault has made unreachable."""


@dataclass
class ClusterUnderFaults:
    """A project on the servers of a site, with its daemon."""

    project: SiteProject
    site: Site
    served: Serving
    version: int = 1000

    def commit(self) -> int:
        """Commit a version, which the daemon deploys, and return how many runs there were before."""
        self.version += 1
        before = len(self.served.runs())
        self.project.commit(str(self.version))
        return before

    def server(self, number: int) -> Server:
        """Return a server by its number, from 0."""
        return [*self.site.servers.values()][number]

    def await_elsewhere(self, server: Server) -> None:
        """Wait until all replicas are healthy on the other machines."""
        until(
            lambda: self._is_elsewhere(server), f"all replicas on other machines than {server.name}", deadline=_LONG_CUT
        )

    def _is_elsewhere(self, server: Server) -> bool:
        targets = self.project.targets()
        healthy = [h for h in targets if h.state is TargetState.HEALTHY and h.target.address != server.address]
        return len(healthy) == self.project.replicas

    def await_end_of(self, run: int) -> None:
        """Wait until a run is over, in whatever way."""
        until(lambda: any(r.number == run and r.state.over for r in self.served.runs()), f"the end of run {run}")


def machine_killed_in_a_deployment(under: ClusterUnderFaults) -> Lost:
    """A machine dies while the daemon deploys, and comes back."""
    count = len(under.served.events("target.draining"))
    before = under.commit()
    under.served.await_event("target.draining", count + 1)
    server = under.server(1)
    server.cut_power()
    under.await_end_of(before + 1)
    under.await_elsewhere(server)
    server.start()
    server.engine.await_answer()
    assert_whole(under.project)
    return {server.address}


def cable_cut(under: ClusterUnderFaults) -> Lost:
    """A cable is cut until all replicas run elsewhere, and returned."""
    server = under.server(2)
    server.cut_cable()
    under.await_elsewhere(server)
    server.mend_cable()
    assert_whole(under.project)
    return {server.address}


def cable_cut_in_a_deployment(under: ClusterUnderFaults) -> Lost:
    """A cable is cut in the middle of a deployment, and returned when that has ended."""
    count = len(under.served.events("target.draining"))
    before = under.commit()
    under.served.await_event("target.draining", count + 1)
    server = under.server(2)
    server.cut_cable()
    under.await_end_of(before + 1)
    server.mend_cable()
    assert_whole(under.project)
    return {server.address}


def leader_lost(under: ClusterUnderFaults) -> Lost:
    """The leader of the Swarm dies, and comes back. It may be the manager that the daemon asks."""
    lost = leader(under.site)
    lost.cut_power()
    if lost is not under.server(0):
        under.await_elsewhere(lost)
    lost.start()
    lost.engine.await_answer()
    await_nodes(lost, [*under.site.servers])
    assert_whole(under.project)
    return {lost.address}


def quorum_lost(under: ClusterUnderFaults) -> Lost:
    """Two of three managers lose their cables for some time. Nothing is decided meanwhile."""
    cut = [under.server(1), under.server(2)]
    for server in cut:
        server.cut_cable()
    count = len(under.served.events("reconcile.failed"))
    under.served.await_event("reconcile.failed", count + 1)
    for server in cut:
        server.mend_cable()
    await_nodes(under.server(0), [*under.site.servers])
    assert_whole(under.project)
    return {server.address for server in cut}


def manager_restarted(under: ClusterUnderFaults) -> Lost:
    """The engine of the manager that the daemon asks ends, with its containers, and starts again."""
    server = under.server(0)
    server.engine.end()
    server.engine.start()
    server.engine.await_answer()
    await_nodes(server, [*under.site.servers])
    assert_whole(under.project)
    return {server.address}


Fault = Callable[[ClusterUnderFaults], Lost]
_MACHINES: Mapping[str, Fault] = {
    "a machine killed in a deployment": machine_killed_in_a_deployment,
    "a cable cut and returned": cable_cut,
    "a cable cut in a deployment": cable_cut_in_a_deployment,
}
FAULTS: Mapping[str, Mapping[str, Fault]] = {
    "hosts": _MACHINES,
    "swarm": {
        **_MACHINES,
        "the leader lost": leader_lost,
        "the next leader lost": leader_lost,
        "the quorum lost": quorum_lost,
        "a manager restarted": manager_restarted,
    },
}
