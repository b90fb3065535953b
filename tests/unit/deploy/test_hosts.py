"""Deployments to the hosts of a file: from its begin to its success, or back to the hosts of before."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from pipeline.api import Image, Revision, StageContext
from pipeline.balancer.balancer import Balancer
from pipeline.base.clock import SystemClock
from pipeline.base.errors import ConfigError, EngineFault, RolledBack
from pipeline.engine.cluster import ClusterSpec
from pipeline.engine.hosts import local_host, runtime_on
from pipeline.engine.labels import LABEL_PIPELINE, LABEL_RUN
from pipeline.engine.open_cluster import OpenCluster
from pipeline.engine.patient_runtime import PatientRuntime
from pipeline.events import Event
from pipeline.testing.fakes.clock import FakeClock
from pipeline.testing.fakes.data_plane import FakePlane
from pipeline.testing.fakes.engine import FakeEngine
from stages.deploy import open_rollout, release_cluster, release_drift, stage
from stages.deploy.release_drift import ReleaseDrift
from stages.deploy.stage import DockerDeploy
from tests.support.host_world import HostWorld
from tests.support.started_runs import begin_run
from tests.support.waiting import until
from tests.unit.deploy.deployments import Killed, with_replicas

APP1 = "{name: app1, docker: ssh://app1, address: 127.0.0.1}"
APP2 = "{name: app2, docker: ssh://app2, address: 127.0.0.2, zone: b}"
HERE = "{name: here, docker: local}"


class Machines:
    """The machine of Penstock, and two others. Every host that a file names is one of them, by its address.

    The targets of running containers become healthy, except those of releases in `broken`.
    """

    def __init__(self, context: StageContext, monkeypatch: pytest.MonkeyPatch) -> None:
        self.clock = FakeClock(auto_advance=True)
        self.engines = {docker: FakeEngine() for docker in ("local", "ssh://app1", "ssh://app2")}
        self.plane = FakePlane()
        self.balancer = Balancer(context.home.root / "plane", self.plane)
        self.broken: set[int] = set()
        self.events: list[Event] = []
        self.opened: list[ClusterSpec] = []
        self._context = context
        self._ending = threading.Event()
        self._checking = threading.Thread(target=self._check)
        context.events.subscribe(self.events.append)
        for module in (stage, open_rollout, release_drift):
            monkeypatch.setattr(module, "open_balancer", lambda _: self.balancer)
            monkeypatch.setattr(module, "local_engine", lambda _: self.engines["local"])
        monkeypatch.setattr(release_cluster, "open_cluster", self._open)
        monkeypatch.setattr(stage, "prune", lambda *_, **__: None)

    def __enter__(self) -> Machines:
        self._checking.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        self._checking.join()

    def context(self, hosts: str = "", replicas: int = 2, settings: str = "") -> StageContext:
        """Return the context of a new process, whose file has these hosts, with a run of its own."""
        keys = [*([f"hosts: [{hosts}]"] if hosts else []), *([settings] if settings else [])]
        found = with_replicas(self._context, replicas, "".join(f"{key}, " for key in keys).rstrip(" "))
        return replace(found, run=begin_run(found.store, "shop").number)

    def deploy(self, commit: str, hosts: str = "", **options: Any) -> None:
        """Deploy a commit, whose image all engines have."""
        for engine in self.engines.values():
            engine.images.add(f"sha256:{commit}")
        revision = Revision(commit * 40, "main", "Ann", "Say", SystemClock().now().wall, "/srv/a.git")
        DockerDeploy().deploy(self.context(hosts, **options), revision, Image(f"sha256:{commit}", f"shop:{commit}"))

    def places(self) -> Counter[str]:
        """Return the number of running replicas by the address of their machine."""
        return (
            Counter({docker: len(engine.containers.running()) for docker, engine in self.engines.items()}) + Counter()
        )

    def heard(self, kind: str) -> list[str]:
        """Return the texts of the events of a kind."""
        return [event.message for event in self.events if event.kind == kind]

    def _open(
        self, cluster: ClusterSpec, *_: object, local: FakeEngine, on_change: Any, before_start: Any
    ) -> OpenCluster:
        """Open a cluster of these machines, as the connections of several hosts if it has any."""
        self.opened.append(cluster)
        if cluster.is_local:
            return OpenCluster(cluster, runtime_on(local_host(local)), lambda: {"local": local})
        found = HostWorld({}, self.clock)
        for spec in cluster.specs:
            found.zones[spec.name], found.engines[spec.name] = spec.zone, self.engines[spec.docker]
        hosts = found.runtime(on_change=on_change, taking=cluster.taking, before_start=before_start)
        return OpenCluster(cluster, PatientRuntime(hosts), lambda: hosts.engines, hosts.close, hosts.place_on)

    def _check(self) -> None:
        while not self._ending.wait(0.002):
            for engine in self.engines.values():
                if not engine.faults.away:
                    self._answer(engine)
            self.plane.run_checks()

    def _answer(self, engine: FakeEngine) -> None:
        for name in engine.containers.running():
            # The names of replicas have the number of their release.
            if not any(f".r{release}." in name for release in self.broken):
                self.plane.answer_checks(name)


@pytest.fixture
def machines(context: StageContext, monkeypatch: pytest.MonkeyPatch) -> Iterator[Machines]:
    """Three machines without replicas."""
    with Machines(context, monkeypatch) as machines:
        yield machines


def test_a_first_release_leaves_no_machine(machines: Machines, context: StageContext) -> None:
    """Nothing was on this one, so no event says that it is empty."""
    machines.deploy("a", f"{APP1}, {APP2}")
    assert machines.heard("host.forgotten") == []
    assert [each.name for each in context.store.clusters.of("shop").hosts] == ["app1", "app2"]


def test_a_pipeline_moves_from_this_machine_to_others_and_back(machines: Machines, context: StageContext) -> None:
    """Each deployment empties the machines that the file no longer has, and then forgets them."""
    machines.deploy("a")
    assert machines.places() == {"local": 2}
    machines.deploy("a", f"{APP1}, {APP2}")
    assert machines.places() == {"ssh://app1": 1, "ssh://app2": 1}
    assert machines.heard("host.forgotten") == ["host local has left: no replica is on it"]
    assert context.store.clusters.of("shop").taking == ("app1", "app2")
    machines.deploy("b", APP2)
    assert machines.places() == {"ssh://app2": 2}
    assert [each.name for each in context.store.clusters.of("shop").hosts] == ["app2"]
    machines.deploy("b")
    assert machines.places() == {"local": 2}
    assert context.store.clusters.of("shop") == ClusterSpec()
    assert all(not engine.networks.has(engine.networks.name("shop")) for engine in [*machines.engines.values()][1:])


def test_the_local_engine_alone_opens_no_hosts(machines: Machines) -> None:
    """As before there were hosts."""
    machines.deploy("a")
    machines.deploy("b")
    assert {*machines.opened} == {ClusterSpec()}


def test_this_machine_as_one_of_the_hosts_keeps_its_replicas(machines: Machines) -> None:
    """Its engine has another name now. A new release is spread over all."""
    machines.deploy("a")
    before = machines.engines["local"].containers.running()
    machines.deploy("a", f"{HERE}, {APP2}")
    assert machines.engines["local"].containers.running() == before
    machines.deploy("b", f"{HERE}, {APP2}")
    assert machines.places() == {"local": 1, "ssh://app2": 1}


def test_this_machine_by_ssh_keeps_its_images_when_it_leaves(machines: Machines, context: StageContext) -> None:
    """A rollback, jobs and other hosts need them."""
    local = machines.engines["ssh://self"] = machines.engines["local"]
    image = local.images.add_built(b"1", "penstock/shop:1", {LABEL_PIPELINE: "shop", LABEL_RUN: "1"})
    machines.deploy("a", "{name: here, docker: ssh://self, address: 127.0.0.1}")
    before = local.containers.running()
    machines.deploy("a", f"{HERE}")
    assert (local.containers.running(), local.images.has(image)) == (before, True)
    assert local.networks.has(local.networks.name("shop"))
    assert context.store.clusters.leaving("shop") == ()


def test_a_release_that_fails_goes_back_to_the_hosts_of_before(machines: Machines, context: StageContext) -> None:
    """Its own host is emptied and forgotten, and a run of the former file has nothing to do."""
    machines.deploy("a", APP1)
    machines.broken.add(2)
    with pytest.raises(RolledBack, match="release 1 is active again"):
        machines.deploy("b", APP2, settings="deploy_timeout: 1s")
    assert machines.places() == {"ssh://app1": 2}
    assert context.store.clusters.settled("shop").specs[0].name == "app1"
    assert DockerDeploy().is_current(machines.context(APP1))
    assert not DockerDeploy().is_current(machines.context(APP2))
    drift = ReleaseDrift(machines.context(APP1))
    assert drift.findings() == ["host app2 has left and is empty"]
    drift.repair(threading.Event())
    assert drift.findings() == []
    assert [each.name for each in context.store.clusters.of("shop").hosts] == ["app1"]
    drift.close()


def test_a_host_with_another_address_fails(machines: Machines, context: StageContext) -> None:
    """The release goes back to the machine that had the name before, and not to the one that has it in the file."""
    machines.deploy("a", APP1)
    machines.broken.add(2)
    with pytest.raises(RolledBack):
        machines.deploy("b", APP1.replace("ssh://app1", "ssh://app2"), settings="deploy_timeout: 1s")
    assert machines.places() == {"ssh://app1": 2}
    assert [(each.name, each.spec.docker) for each in context.store.clusters.of("shop").hosts] == [
        ("app1", "ssh://app1"),
        ("app1-other", "ssh://app2"),
    ]


def test_hosts_without_a_change_of_the_release_are_not_current(machines: Machines) -> None:
    """A run deploys them, although the release stays."""
    machines.deploy("a")
    assert DockerDeploy().is_current(machines.context())
    assert not DockerDeploy().is_current(machines.context(APP1))
    assert not DockerDeploy().is_current(machines.context(f"{APP1}, {APP2}"))
    machines.deploy("a", APP1)
    assert DockerDeploy().is_current(machines.context(APP1))
    assert not DockerDeploy().is_current(machines.context())


def test_a_process_that_dies_is_undone_on_the_hosts_of_before(machines: Machines, context: StageContext) -> None:
    """The hosts of its deployment are known from its begin, so what it has started there is found and drained."""
    machines.deploy("a", APP1)
    dying = machines.context(APP2)
    dying.events.subscribe(_die_at("container.started"))
    revision = Revision("b" * 40, "main", "Ann", "Say", SystemClock().now().wall, "/srv/a.git")
    for engine in machines.engines.values():
        engine.images.add("sha256:b")
    with pytest.raises(Killed):
        DockerDeploy().deploy(dying, revision, Image("sha256:b", "shop:b"))
    assert machines.places() == {"ssh://app1": 2, "ssh://app2": 1}
    row = context.store.deployments.open("shop")
    assert row is not None
    assert DockerDeploy().recover(machines.context(APP2), row) == "release 1 is active"
    assert machines.places() == {"ssh://app1": 2}
    assert context.store.clusters.of("shop").taking == ("app1",)


def test_a_drained_host_is_emptied_and_stays_empty(machines: Machines, context: StageContext) -> None:
    """Until it is resumed. The next release uses it again."""
    machines.deploy("a", f"{APP1}, {APP2}")
    DockerDeploy().drain(machines.context(f"{APP1}, {APP2}"), "app2")
    assert machines.places() == {"ssh://app1": 2}
    assert machines.heard("host.drained") == ["host app2 takes no replicas"]
    machines.deploy("b", f"{APP1}, {APP2}")
    assert machines.places() == {"ssh://app1": 2}
    with pytest.raises(ConfigError, match="app1 cannot be drained: no other host takes replicas"):
        DockerDeploy().drain(machines.context(f"{APP1}, {APP2}"), "app1")
    context.store.clusters.resume("shop", "app2")
    DockerDeploy().restart(machines.context(f"{APP1}, {APP2}"), None)
    assert machines.places() == {"ssh://app1": 1, "ssh://app2": 1}


def test_a_lost_host_is_replaced_by_the_repair(machines: Machines) -> None:
    """Which then finds nothing to do, and drains what is surplus when the host is back."""
    machines.deploy("a", f"{APP1}, {APP2}")
    drift = ReleaseDrift(machines.context(f"{APP1}, {APP2}"))
    assert drift.findings() == []
    machines.engines["ssh://app2"].faults.go_away()
    found = drift.findings()
    assert any("was on host app2, which is lost" in line for line in found), found
    drift.repair(threading.Event())
    assert len(machines.engines["ssh://app1"].containers.running()) == 2
    machines.engines["ssh://app2"].faults.come_back()

    def is_repaired() -> bool:
        machines.clock.advance(timedelta(seconds=2))
        drift.repair(threading.Event())
        return sum(machines.places().values()) == 2

    until(is_repaired, "one replica for each that is wanted")
    drift.close()


def test_a_drain_is_followed_by_the_repair_of_the_daemon(machines: Machines, context: StageContext) -> None:
    """Its connections stay."""
    machines.deploy("a", f"{APP1}, {APP2}")
    drift = ReleaseDrift(machines.context(f"{APP1}, {APP2}"))
    assert drift.findings() == []
    count = len(machines.opened)
    context.store.clusters.drain("shop", "app2")
    (line,) = [line for line in drift.findings() if "app2" in line]
    assert line.endswith("is on host app2, which takes no replicas")
    drift.repair(threading.Event())
    assert (machines.places(), drift.findings(), len(machines.opened)) == ({"ssh://app1": 2}, [], count)
    drift.close()


def test_a_rollback_and_a_scale_keep_the_hosts(machines: Machines) -> None:
    """They are those of the last deployment, whatever the file has by now."""
    machines.deploy("a", APP1)
    machines.deploy("b", APP1)
    context = machines.context(APP2)
    (first,) = [release for release in context.store.releases.all("shop") if release.number == 1]
    DockerDeploy().rollback(context, first)
    DockerDeploy().scale(machines.context(APP2), "web", 3)
    assert machines.places() == {"ssh://app1": 3}


def test_down_clears_all_hosts(machines: Machines, context: StageContext) -> None:
    """Replicas and networks."""
    machines.deploy("a", f"{APP1}, {APP2}")
    DockerDeploy().down(machines.context(f"{APP1}, {APP2}"))
    assert machines.places() == {}
    assert context.store.clusters.of("shop") == ClusterSpec()
    assert not any(engine.networks.has(engine.networks.name("shop")) for engine in machines.engines.values())


def test_a_plan_says_where_replicas_would_run(machines: Machines) -> None:
    """And which hosts are new."""
    machines.deploy("a")
    revision = Revision("b" * 40, "main", "Ann", "Say", SystemClock().now().wall, "/srv/a.git")
    steps = DockerDeploy().plan(machines.context(f"{APP1}, {APP2}"), revision, Image("sha256:b", "shop:b"))
    assert "use the hosts app1, app2 with placement spread; before: this machine" in steps
    assert [step for step in steps if step.startswith("start")] == ["start new-1 on app1", "start new-2 on app2"]
    assert machines.places() == {"local": 2}


def test_a_plan_leaves_no_event_of_a_lost_host(machines: Machines) -> None:
    """Nothing is replaced. Its placement leaves the host out."""
    machines.deploy("a", f"{APP1}, {APP2}")
    machines.engines["ssh://app2"].faults.go_away()
    revision = Revision("b" * 40, "main", "Ann", "Say", SystemClock().now().wall, "/srv/a.git")
    steps = DockerDeploy().plan(machines.context(f"{APP1}, {APP2}"), revision, Image("sha256:b", "shop:b"))
    assert {step for step in steps if step.startswith("start")} == {"start new-1 on app1", "start new-2 on app1"}
    assert steps[-1] == "host app2 does not answer and gets no containers"
    assert machines.heard("host.lost") == []
    machines.deploy("b", f"{APP1}, {APP2}")
    assert machines.heard("host.lost") == ["host app2 is lost, other hosts get its replicas: the fake engine is away"]


def test_a_plan_says_that_no_host_takes_replicas(machines: Machines) -> None:
    """If a pipeline moves from this machine to hosts that are all silent."""
    machines.deploy("a")
    machines.engines["ssh://app2"].faults.go_away()
    revision = Revision("b" * 40, "main", "Ann", "Say", SystemClock().now().wall, "/srv/a.git")
    steps = DockerDeploy().plan(machines.context(APP2), revision, Image("sha256:b", "shop:b"))
    assert steps[-1] == "no host answers, so a run would fail: `pipeline doctor` says why"


@pytest.mark.parametrize(
    ("settings", "error"),
    [
        ("cpus: 6", "host app2: deploy.cpus: 6 is more than the 4 CPUs of Docker's machine"),
        ("networks: [backend]", "host app1: deploy.networks: Docker has no network backend"),
        ("logging: {driver: journald}", "host app1: deploy.logging.driver: Docker has no log driver journald"),
    ],
)
def test_each_host_is_checked(machines: Machines, settings: str, error: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before anything is built, with its name."""
    monkeypatch.setattr(machines.engines["ssh://app2"], "cpus", 4)
    with pytest.raises(ConfigError) as caught:
        DockerDeploy().preflight(machines.context(f"{APP1}, {APP2}", settings=settings))
    assert caught.value.message == error


def test_all_hosts_are_lost(machines: Machines) -> None:
    """A deployment changes nothing and says why."""
    machines.deploy("a", APP1)
    machines.engines["ssh://app1"].faults.go_away()
    with pytest.raises(EngineFault, match="all hosts are lost; host app1"):
        machines.deploy("b", APP1)
    machines.engines["ssh://app1"].faults.come_back()
    assert machines.places() == {"ssh://app1": 2}


def _die_at(kind: str) -> Callable[[Event], None]:
    kinds = [kind]

    def die(event: Event) -> None:
        if event.kind in kinds:
            kinds.clear()
            raise Killed

    return die
