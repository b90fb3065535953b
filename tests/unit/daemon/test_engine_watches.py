"""The watches on the local engine and on the hosts of the served pipelines."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest

from pipeline.base.errors import StoreFault
from pipeline.daemon.engine_watches import EngineWatches
from pipeline.daemon.scheduler import Scheduler
from pipeline.engine.cluster import ClusterHost, ClusterSpec, RuntimeName
from pipeline.engine.host import LOCAL, HostSpec
from pipeline.engine.interfaces import ReplicaChange
from pipeline.testing.fakes.clock import FakeClock
from pipeline.testing.fakes.engine_events import FakeEngineEvents
from tests.support.waiting import until

EXIT = ReplicaChange("shop", "shop.web.r1.aaaaaa", 1)


def cluster(**hosts: str) -> ClusterSpec:
    """Return a cluster of hosts with these engines."""
    return ClusterSpec(hosts=tuple(ClusterHost(HostSpec(name, docker)) for name, docker in hosts.items()))


class World:
    """Watches over fake events. `clusters` are those of the database."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.local = FakeEngineEvents()
        self.hosts: dict[str, list[FakeEngineEvents]] = {}
        self.clusters: dict[str, ClusterSpec] = {}
        self.fault: StoreFault | None = None
        self.changed: list[ReplicaChange | None] = []
        self.watches = EngineWatches(self.local, self._events_of, self._read, self.changed.append, self.clock)

    def follow(self, **clusters: ClusterSpec) -> None:
        """Let these be the clusters, and wait until each of their engines is followed."""
        self.clusters = clusters
        self.watches.step()
        until(lambda: self.local.connections and all(each[-1].connections for each in self.hosts.values()), "events")

    def go_live(self, pipeline: str) -> None:
        """Wait until every change of a pipeline is reported."""

        def is_live() -> bool:
            self.clock.advance(timedelta(seconds=1))
            return self.watches.is_live(pipeline)

        until(is_live, "all connections")

    def _events_of(self, host: HostSpec) -> FakeEngineEvents:
        events = FakeEngineEvents()
        self.hosts.setdefault(host.docker, []).append(events)
        return events

    def _read(self) -> dict[str, ClusterSpec]:
        if self.fault:
            raise self.fault
        return self.clusters


@pytest.fixture
def world() -> Iterator[World]:
    """Watches that are started."""
    world = World()
    with Scheduler(world.clock) as scheduler:
        world.watches.start(scheduler)
        yield world
        world.watches.stop()


def test_without_hosts_only_the_local_engine_is_watched(world: World) -> None:
    """Its events are those of every pipeline."""
    world.follow()
    world.go_live("shop")
    world.local.report(EXIT)
    until(lambda: EXIT in world.changed, "a report")
    assert world.hosts == {}


def test_an_exit_on_a_host_is_reported(world: World) -> None:
    """As one on the local engine is. A host that is the local engine has no second watch."""
    world.follow(shop=cluster(app1="ssh://app1", app2="ssh://app2", here=LOCAL))
    world.go_live("shop")
    assert {name: len(events) for name, events in world.hosts.items()} == {"ssh://app1": 1, "ssh://app2": 1}
    world.hosts["ssh://app2"][0].report(EXIT)
    until(lambda: EXIT in world.changed, "a report")


def test_a_lost_host_is_no_matter_of_other_pipelines(world: World) -> None:
    """Those that have it are told at once when it is lost, and when it is back."""
    world.follow(shop=cluster(app1="ssh://app1"), blog=cluster(app2="ssh://app2"))
    for name in ("shop", "blog", "local"):
        world.go_live(name)
    world.changed.clear()
    world.hosts["ssh://app1"][0].go_away()
    until(lambda: world.changed, "a report")
    assert world.changed == [None]
    assert [world.watches.is_live(name) for name in ("shop", "blog", "local")] == [False, True, True]
    # Nothing changes there as long as its replicas are not listed. The first event is that it is back.
    assert world.watches.is_live("shop", ("app1",))
    world.hosts["ssh://app1"][0].is_away = False
    world.go_live("shop")
    assert None in world.changed[1:], "anything may have changed meanwhile"
    assert not world.watches.is_live("shop", ("app1",)), "no event reports that its replicas can be listed"


def test_another_user_of_the_same_engine(world: World) -> None:
    """The one of before may have no rights any more. As long as a pipeline has that address, its watch stays."""
    world.follow(shop=cluster(app1="ssh://a@app1"), blog=cluster(app1="ssh://a@app1"))
    (former,) = world.hosts["ssh://a@app1"]
    world.follow(shop=cluster(app1="ssh://b@app1"), blog=cluster(app1="ssh://a@app1"))
    world.go_live("shop")
    assert set(world.hosts) == {"ssh://a@app1"}
    former.go_away()
    world.follow(shop=cluster(app1="ssh://b@app1"), blog=cluster(app1="ssh://b@app1:22"))
    for name in ("shop", "blog"):
        world.go_live(name)
    assert [len(events) for events in world.hosts.values()] == [1, 1]
    assert former.is_away


def test_pipelines_share_the_watch_on_an_engine(world: World) -> None:
    """Also under another name and with another way to write its address. It ends with the last that writes it so."""
    world.follow(shop=cluster(app1="ssh://app1"), blog=cluster(first="ssh://deploy@app1:22"))
    assert {name: len(events) for name, events in world.hosts.items()} == {"ssh://deploy@app1:22": 1}
    (events,) = world.hosts["ssh://deploy@app1:22"]
    world.follow(blog=cluster(first="ssh://deploy@app1:22"))
    world.go_live("blog")
    assert events.answers()
    world.follow(shop=cluster(app1="ssh://app1"))
    until(lambda: not events.answers(), "the end of the watch by the other address")
    world.go_live("shop")
    (events,) = world.hosts["ssh://app1"]
    world.clusters = {}
    world.watches.step()
    until(lambda: not events.answers(), "the end of the watch")
    world.go_live("shop")


def test_a_host_that_comes_back_into_a_cluster_is_watched_again(world: World) -> None:
    """By a watch of its own."""
    world.follow(shop=cluster(app1="ssh://app1"))
    world.follow()
    world.follow(shop=cluster(app1="ssh://app1"))
    world.go_live("shop")
    first, second = world.hosts["ssh://app1"]
    until(lambda: not first.answers(), "the end of the first watch")
    second.report(EXIT)
    until(lambda: EXIT in world.changed, "a report")


def test_a_database_that_cannot_be_read_changes_nothing(world: World) -> None:
    """The hosts that are known stay watched."""
    world.follow(shop=cluster(app1="ssh://app1"))
    world.go_live("shop")
    world.fault = StoreFault("the disk is full")
    world.watches.step()
    assert world.watches.is_live("shop")


def test_all_watches_end_with_the_daemon(world: World) -> None:
    """No host is watched that comes afterwards."""
    world.follow(shop=cluster(app1="ssh://app1"))
    world.watches.stop()
    until(lambda: not world.hosts["ssh://app1"][0].answers(), "the end of the watch")
    world.clusters = {"shop": cluster(app2="ssh://app2")}
    world.watches.step()
    assert [*world.hosts] == ["ssh://app1"]


def test_a_swarm_is_polled(world: World) -> None:
    """It reports no changes of tasks, and has no engine of its own to follow. Hosts that leave are followed."""
    in_swarm = ClusterSpec(RuntimeName.SWARM)
    world.follow(shop=in_swarm, other=cluster(app1="ssh://app1"))
    world.go_live("other")
    assert not world.watches.is_live("shop")
    assert [*world.hosts] == ["ssh://app1"]
    world.follow(shop=cluster(app1="ssh://app1"))
    world.go_live("shop")
