"""What is removed of a pipeline with hosts, and what stays on a lost one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta

import pytest

from pipeline.api import StageContext
from pipeline.balancer.balancer import Balancer
from pipeline.base.errors import EngineFault
from pipeline.engine.cluster import ClusterHost, ClusterSpec
from pipeline.engine.container import ContainerSpec
from pipeline.engine.host import HostSpec
from pipeline.engine.hosts import host_at, runtime_on
from pipeline.engine.hosts_runtime import HostsRuntime
from pipeline.engine.labels import (
    LABEL_PIPELINE,
    LABEL_ROLE,
    LABEL_RUN,
    LABEL_SERVICE,
    ROLE_ACCESSORY,
    ROLE_APP,
    ROLE_CONSOLE,
)
from pipeline.engine.open_cluster import OpenCluster
from pipeline.engine.patient_runtime import PatientRuntime
from pipeline.engine.reachable_host import OpenHost, ReachableHost
from pipeline.events import Event
from pipeline.store.records import DeploymentState
from pipeline.testing.fakes.clock import FakeClock
from pipeline.testing.fakes.data_plane import FakePlane
from pipeline.testing.fakes.engine import FakeEngine
from stages.deploy.host_images import HostImages
from stages.deploy.release_hosts import ReleaseHosts
from stages.deploy.release_rollout import ReleaseRollout
from tests.support.waiting import DEADLINE, until

NAMES = ("app1", "app2")
CLUSTER = ClusterSpec(hosts=tuple(ClusterHost(HostSpec(name, f"ssh://{name}", address="192.0.2.1")) for name in NAMES))


class World:
    """A pipeline on two hosts, with fakes. Each has a replica, the rest of a killed command, an image and a network."""

    def __init__(self, context: StageContext) -> None:
        self.context = context
        self.clock = FakeClock()
        self.local = FakeEngine()
        self.local.networks.ensure("shop")
        self.hosts = {name: FakeEngine() for name in NAMES}
        for name, engine in self.hosts.items():
            self._fill(name, engine)
        self.events: list[Event] = []
        context.events.subscribe(self.events.append)
        self.balancer = Balancer(context.home.balancer, FakePlane())
        hosts = [ReachableHost(spec.name, spec.zone, self._connector(spec), clock=self.clock) for spec in CLUSTER.specs]
        self.runtime = runtime = HostsRuntime(
            hosts, silence=timedelta(seconds=DEADLINE), clock=FakeClock(auto_advance=True), taking=CLUSTER.taking
        )
        cluster = OpenCluster(CLUSTER, PatientRuntime(runtime), lambda: runtime.engines, runtime.close)
        self.rollout = ReleaseRollout(context, self.local, self.balancer, cluster, HostImages(context, self.local))

    def lose(self, name: str) -> None:
        """Let a host be lost, and the rollout know it."""
        self.runtime.list("shop")
        self.hosts[name].faults.go_away()
        with pytest.raises(EngineFault):
            self.runtime.list("shop")
        self.clock.advance(timedelta(seconds=10))
        self.runtime.list("shop")

    def find_back(self, name: str) -> None:
        """Let a lost host be back, and the rollout know it."""
        self.hosts[name].faults.come_back()

        def is_back() -> bool:
            self.clock.advance(timedelta(seconds=1))
            self.runtime.list("shop")
            return not self.runtime.lost

        until(is_back, "an answer of the host")

    def left(self, name: str) -> tuple[list[str], bool, bool]:
        """Return the containers that a host has, and whether it has a network and an image."""
        engine = self.hosts[name]
        engine.faults.come_back()
        names = [each.name for each in engine.containers.all("shop")]
        return names, engine.networks.has(engine.networks.name("shop")), bool(engine.images.for_pipeline("shop"))

    def warnings(self) -> list[str]:
        """Return the warnings so far."""
        return [event.message for event in self.events if event.kind == "down.warning"]

    def _fill(self, name: str, engine: FakeEngine) -> None:
        labels = {LABEL_PIPELINE: "shop", LABEL_SERVICE: "web"}
        engine.networks.ensure("shop")
        network = engine.networks.name("shop")
        engine.images.add_built(b"1", "penstock/shop:1", {LABEL_PIPELINE: "shop", LABEL_RUN: "1"})
        engine.images.add("app")
        for kind, role in (("web.r1", ROLE_APP), ("web.once", ROLE_CONSOLE)):
            spec = ContainerSpec(f"shop.{kind}.{name}", "app", {**labels, LABEL_ROLE: role}, network=network)
            engine.containers.start(spec)

    def _connector(self, spec: HostSpec):  # type: ignore[no-untyped-def]
        engine = self.hosts[spec.name]

        def connect() -> OpenHost:
            if not engine.answers():
                raise EngineFault(f"host {spec.name} (ssh://{spec.name}): no route")
            return OpenHost(runtime_on(host_at(spec, engine)), engine, engine.close)

        return connect


@pytest.fixture
def world(context: StageContext) -> Iterator[World]:
    """A pipeline on two hosts."""
    world = World(context)
    with closing(world.rollout.cluster):
        yield world


def test_everything_of_the_pipeline_is_removed(world: World) -> None:
    """On the hosts, and the network of jobs and release commands on this machine."""
    assert world.rollout.tear_down() == 2
    assert [world.left(name)[:2] for name in NAMES] == [([], False), ([], False)]
    assert not world.local.networks.has(world.local.networks.name("shop"))
    assert world.warnings() == []


def test_what_is_on_a_lost_host_stays(world: World) -> None:
    """That is told, and repeating the command removes it. The other hosts are cleared at once."""
    world.lose("app2")
    assert world.rollout.tear_down() == 1
    assert world.warnings() == [
        "host app2 is lost: what is on it stays; repeat `pipeline down` when it is back, or give it up with "
        "`pipeline node forget app2`"
    ]
    assert world.left("app1")[:2] == ([], False)
    assert world.left("app2")[:2] == (["shop.web.r1.app2", "shop.web.once.app2"], True)
    assert not world.local.networks.has(world.local.networks.name("shop"))
    world.find_back("app2")
    assert world.rollout.tear_down() == 1
    assert world.left("app2")[:2] == ([], False)
    assert len(world.warnings()) == 1


def test_the_network_of_this_machine_stays_with_an_accessory(world: World) -> None:
    """The accessory is in it. `clear` removes it afterwards."""
    labels = {LABEL_PIPELINE: "shop", LABEL_ROLE: ROLE_ACCESSORY}
    network = world.local.networks.name("shop")
    world.local.images.add("app")
    container = world.local.containers.start(ContainerSpec("shop.db", "app", labels, network=network))
    world.rollout.tear_down()
    assert world.local.networks.has(network)
    world.rollout.clear()
    assert world.warnings() == ["the network stays: network penstock-012345-shop has active endpoints"]
    world.local.containers.remove(container)
    world.rollout.clear()
    assert not world.local.networks.has(network)


def test_a_host_that_is_forgotten_keeps_nothing(world: World) -> None:
    """Its network and its images go with it. Those of the others stay."""
    store = world.context.store
    for hosts in (CLUSTER, ClusterSpec(hosts=CLUSTER.hosts[:1])):
        deployment = store.deployments.begin("shop", 1, None, 1, cluster=hosts)
        store.deployments.finish(deployment, DeploymentState.SUCCEEDED)
    world.hosts["app2"].containers.remove("shop.web.r1.app2")
    world.hosts["app2"].containers.remove("shop.web.once.app2")
    ReleaseHosts(world.context, world.rollout.cluster, HostImages(world.context, world.local)).forget()
    assert world.left("app2") == ([], False, False)
    assert world.left("app1")[1:] == (True, True)
    assert store.clusters.of("shop").host("app2") is None
