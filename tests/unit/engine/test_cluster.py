"""Clusters of hosts and of a Swarm, and their stored form."""

from __future__ import annotations

import pytest

from pipeline.engine.cluster import LOCAL_HOST, SWARM_MEMBER, ClusterHost, ClusterSpec, RuntimeName
from pipeline.engine.host import HostSpec
from pipeline.store.cluster_record import dump_cluster, joined, load_cluster

NODE = HostSpec("node1", "ssh://node1", address="")
SWARM = ClusterSpec(RuntimeName.SWARM, nodes=(NODE,))
HOSTS = ClusterSpec(hosts=(ClusterHost(HostSpec("app1", "ssh://app1", "a", "10.0.0.1")),))
ALONE = ClusterSpec()


def test_a_swarm_stands_for_its_nodes() -> None:
    """It is one member. The engines that are known are those of nodes."""
    assert not SWARM.is_local
    assert SWARM.specs == (SWARM_MEMBER,)
    assert SWARM.taking == ("swarm",)
    assert SWARM.engines == (NODE,)


@pytest.mark.parametrize("cluster", [SWARM, HOSTS, ClusterSpec(RuntimeName.SWARM)])
def test_a_cluster_is_stored_as_it_is(cluster: ClusterSpec) -> None:
    """Nodes that are known included."""
    assert load_cluster(dump_cluster(cluster)) == cluster


def test_hosts_are_stored_as_before() -> None:
    """Without a key for nodes."""
    assert "nodes" not in dump_cluster(HOSTS)


@pytest.mark.parametrize("former", [ALONE, HOSTS])
def test_hosts_leave_for_a_swarm(former: ClusterSpec) -> None:
    """This machine, too."""
    cluster = joined(SWARM, former.specs, frozenset())
    assert cluster.hosts == (
        ClusterHost(SWARM_MEMBER),
        *(ClusterHost(spec, takes_replicas=False) for spec in former.specs),
    )
    assert cluster.nodes == (NODE,)
    assert cluster.taking == ("swarm",)


@pytest.mark.parametrize("wanted", [ALONE, HOSTS])
def test_a_swarm_leaves_for_hosts(wanted: ClusterSpec) -> None:
    """As a host would."""
    cluster = joined(wanted, SWARM.specs, frozenset())
    assert not cluster.is_local
    assert cluster.hosts[-1] == ClusterHost(SWARM_MEMBER, takes_replicas=False)
    assert cluster.taking == wanted.taking


def test_nodes_are_drained_by_their_names() -> None:
    """The Swarm itself takes replicas. Names of hosts have no such meaning."""
    assert joined(SWARM, (), frozenset({"node1"})).drained_nodes == ("node1",)
    assert joined(SWARM, (), frozenset({"node1"})).taking == ("swarm",)
    assert joined(HOSTS, (LOCAL_HOST,), frozenset({"app1"})).drained_nodes == ()


def test_a_swarm_is_declared_again_by_the_same_file() -> None:
    """Other known nodes, or hosts in its place, are another cluster."""
    assert SWARM.is_declared_by(SWARM)
    assert not SWARM.is_declared_by(ClusterSpec(RuntimeName.SWARM))
    assert not SWARM.is_declared_by(HOSTS)
    assert not ALONE.is_declared_by(SWARM)
