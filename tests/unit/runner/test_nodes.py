"""The hosts of a pipeline, as `pipeline node` shows and changes them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.base.errors import ConfigError
from pipeline.engine.cluster import ClusterHost, ClusterSpec, RuntimeName
from pipeline.engine.host import HostSpec
from pipeline.engine.open_cluster import OpenCluster
from pipeline.engine.patient_runtime import PatientRuntime
from pipeline.engine.reachable_host import HostChange
from pipeline.engine.runtime import ReplicaSpec
from pipeline.engine.swarm.runtime import SwarmRuntime
from pipeline.engine.swarm.swarm import Availability, SwarmNode
from pipeline.events import Event, Events
from pipeline.runner.nodes import HostNodes, NodeUse
from pipeline.store.records import DeploymentState
from pipeline.store.store import Store
from pipeline.testing.fakes.clock import FakeClock
from pipeline.testing.fakes.swarm import FakeSwarm
from tests.support.host_world import HostWorld
from tests.support.started_runs import begin_run

SPEC = ReplicaSpec(pipeline="shop", release=1, run=1, template="first", image="app", port=8080)


class Shop:
    """The pipeline `shop` with the hosts app1 and app2, which was also on app3. `heard` has the events."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.world = HostWorld({"app1": "a", "app2": "b", "app3": "a"}, FakeClock(auto_advance=True))
        self.heard: list[Event] = []
        events = Events("shop")
        events.subscribe(self.heard.append)
        self.nodes = HostNodes(store, "shop", events, self.open)
        for names in (("app1", "app2", "app3"), ("app1", "app2")):
            self._deploy(*names)
        store.clusters.forget("shop", "local")

    def _deploy(self, *names: str) -> None:
        hosts = (ClusterHost(HostSpec(name, f"ssh://{name}", self.world.zones[name], "10.0.0.1")) for name in names)
        run = begin_run(self.store, "shop").number
        row = self.store.deployments.begin("shop", run, None, None, cluster=ClusterSpec(hosts=tuple(hosts)))
        # As the deployment of a release, whose row is not needed here.
        self.store.deployments.finish(replace(row, to_release=1), DeploymentState.SUCCEEDED)

    def open(self, cluster: ClusterSpec, on_change: Callable[[HostChange], object]) -> OpenCluster:
        hosts = self.world.runtime(taking=cluster.taking, on_change=on_change)
        return OpenCluster(cluster, PatientRuntime(hosts), lambda: hosts.engines, hosts.close)


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    """A shop with a replica on app1 and one on app3."""
    with Store(tmp_path / "db") as store:
        shop = Shop(store)
        hosts = shop.world.runtime()
        hosts.prepare("shop")
        for name, zone in (("r1", "a"), ("r2", "a")):
            hosts.start(replace(SPEC, name=name, zone=zone))
        hosts.close()
        yield shop


def test_the_hosts_are_listed_with_their_replicas(shop: Shop) -> None:
    """In the order of the file, then those that have left."""
    shop.store.clusters.drain("shop", "app2")
    found = [(each.name, each.engine, each.zone, each.use, each.replicas) for each in shop.nodes.all()]
    assert found == [
        ("app1", "ssh://app1", "a", NodeUse.ACTIVE, 1),
        ("app2", "ssh://app2", "b", NodeUse.DRAINED, 0),
        ("app3", "ssh://app3", "a", NodeUse.LEAVING, 1),
    ]


def test_a_lost_host_is_listed_with_its_fault(shop: Shop) -> None:
    """How many replicas it has is not known."""
    shop.world.lose("app3")
    assert [(each.name, each.replicas, each.fault) for each in shop.nodes.all()][1:] == [
        ("app2", 0, ""),
        ("app3", None, "app3 does not respond (look)"),
    ]


def test_a_loss_that_is_not_told_yet(shop: Shop) -> None:
    """The host is listed all the same."""
    shop.world.lose("app3")
    nodes = HostNodes(shop.store, "shop", Events("shop"), lambda cluster, _: shop.open(cluster, lambda _: None))
    assert [each.fault for each in nodes.all()] == ["", "", "it does not answer"]


def test_all_hosts_are_lost(shop: Shop) -> None:
    """The list is shown all the same."""
    for name in shop.world.zones:
        shop.world.lose(name)
    assert {each.replicas for each in shop.nodes.all()} == {None}


def test_hosts_that_cannot_be_drained(shop: Shop) -> None:
    """One that there is not, and the last one that takes replicas."""
    shop.nodes.check_drain("app1")
    with pytest.raises(ConfigError, match=r"^shop has no host app11\n.*app1"):
        shop.nodes.check_drain("app11")
    shop.store.clusters.drain("shop", "app2")
    with pytest.raises(ConfigError, match=r"^app1 is the only host that takes replicas\n"):
        shop.nodes.check_drain("app1")


def test_a_drained_host_is_resumed(shop: Shop) -> None:
    """Once."""
    shop.store.clusters.drain("shop", "app2")
    assert shop.nodes.resume("app2")
    assert not shop.nodes.resume("app2")
    assert [(event.kind, event.fields) for event in shop.heard] == [("host.resumed", {"host": "app2"})]
    assert shop.store.clusters.of("shop").taking == ("app1", "app2")


def test_a_host_that_has_left_is_forgotten(shop: Shop) -> None:
    """Not one that a deployment uses."""
    with pytest.raises(ConfigError, match=r"^host app1 has not left: a deployment uses it\n"):
        shop.nodes.forget("app1")
    shop.nodes.forget("app3")
    assert [each.name for each in shop.nodes.all()] == ["app1", "app2"]
    assert [event.kind for event in shop.heard] == ["host.forgotten"]
    with pytest.raises(ConfigError, match=r"^shop has no host app3\n"):
        shop.nodes.forget("app3")


def test_a_pipeline_without_hosts(tmp_path: Path) -> None:
    """The local engine is the only one, so it cannot be drained or forgotten."""
    with Store(tmp_path / "other") as store:
        nodes = HostNodes(store, "shop", Events("shop"), lambda *_: pytest.fail("nothing is connected to"))
        for call in (nodes.check_drain, nodes.forget):
            with pytest.raises(ConfigError):
                call("local")
        assert not nodes.resume("local")


class SwarmShop:
    """The pipeline `shop` in a Swarm of two nodes, with a replica on the first."""

    def __init__(self, store: Store) -> None:
        self.store = store
        nodes = (SwarmNode(f"n{each}", f"node{each}", f"10.0.0.{each}", labels={"zone": "a"}) for each in (1, 2))
        self.swarm = FakeSwarm(*nodes)
        self.runtime = SwarmRuntime(self.swarm)
        self.runtime.start(replace(SPEC, name="shop.web.r1.aaaaaa"))
        self.nodes = HostNodes(store, "shop", Events("shop"), self.open)
        run = begin_run(store, "shop").number
        row = store.deployments.begin("shop", run, None, None, cluster=ClusterSpec(RuntimeName.SWARM))
        store.deployments.finish(replace(row, to_release=1), DeploymentState.SUCCEEDED)
        store.clusters.forget("shop", "local")

    def open(self, cluster: ClusterSpec, _: Callable[[HostChange], object]) -> OpenCluster:
        return OpenCluster(cluster, self.runtime, dict, swarm=self.swarm)


@pytest.fixture
def swarm_shop(tmp_path: Path) -> Iterator[SwarmShop]:
    """A shop in a Swarm."""
    with Store(tmp_path / "db") as store:
        yield SwarmShop(store)


def test_the_nodes_of_a_swarm_are_listed(swarm_shop: SwarmShop) -> None:
    """With the zone of their label. One that is drained by other means is drained, too."""
    swarm_shop.swarm.lose_node("n2")
    swarm_shop.swarm.set_availability("n2", Availability.PAUSE)
    found = [
        (each.name, each.engine, each.zone, each.use, each.replicas, each.fault) for each in swarm_shop.nodes.all()
    ]
    assert found == [
        ("node1", "swarm", "a", NodeUse.ACTIVE, 1, ""),
        ("node2", "swarm", "a", NodeUse.DRAINED, 0, "it is down"),
    ]


def test_a_swarm_without_a_leader_is_listed_with_the_fault(swarm_shop: SwarmShop) -> None:
    """Its nodes are not known."""
    swarm_shop.swarm.lose_quorum()
    (found,) = swarm_shop.nodes.all()
    assert (found.name, found.replicas) == ("swarm", None)
    assert "does not have a leader" in found.fault


def test_a_node_of_a_swarm_is_drained_if_another_one_takes_replicas(swarm_shop: SwarmShop) -> None:
    """One that is down does not."""
    swarm_shop.nodes.check_drain("node1")
    swarm_shop.swarm.lose_node("n2")
    with pytest.raises(ConfigError, match="node1 is the only host that takes replicas"):
        swarm_shop.nodes.check_drain("node1")
    with pytest.raises(ConfigError, match="the Swarm has no node node3"):
        swarm_shop.nodes.check_drain("node3")


def test_a_node_of_a_swarm_takes_tasks_again(swarm_shop: SwarmShop) -> None:
    """Its availability is set back."""
    swarm_shop.store.clusters.drain("shop", "node2")
    swarm_shop.swarm.set_availability("n2", Availability.DRAIN)
    assert [node.use for node in swarm_shop.nodes.all()] == [NodeUse.ACTIVE, NodeUse.DRAINED]
    assert swarm_shop.nodes.resume("node2")
    assert not swarm_shop.nodes.resume("node2")
    assert [node.use for node in swarm_shop.nodes.all()] == [NodeUse.ACTIVE, NodeUse.ACTIVE]
