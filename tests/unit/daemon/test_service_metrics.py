"""The metrics of a service: requests and response times, connections, CPU, and replicas."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest

from pipeline.balancer.balancer import Balancer
from pipeline.balancer.model import Target
from pipeline.balancer.telemetry.group_load import GroupLoads
from pipeline.base.errors import EngineFault
from pipeline.config.load import load
from pipeline.config.release import ReleaseSpec
from pipeline.daemon.cluster_containers import ClusterContainers
from pipeline.daemon.service_metrics import LocalMetrics, ServiceMetrics
from pipeline.engine.cluster import ClusterHost, ClusterSpec
from pipeline.engine.container import ContainerSpec
from pipeline.engine.host import HostSpec
from pipeline.engine.host_link import HostLink, OpenLink
from pipeline.engine.host_links import HostLinks
from pipeline.engine.hosts_containers import HostsContainers
from pipeline.engine.interfaces import Engine, ExistingContainers
from pipeline.engine.labels import LABEL_PIPELINE, LABEL_ROLE, LABEL_SERVICE, ROLE_APP
from pipeline.scaling.policy import ScalingTarget
from pipeline.testing.fakes.data_plane import FakePlane
from pipeline.testing.fakes.engine import FakeEngine
from pipeline.testing.fakes.program import Program
from tests.support.access_log import request
from tests.support.waiting import DEADLINE

_PIPELINE = """\
name: shop
deploy:
  services:
    web: {target_group: web, cpus: 0.5}
    api: {target_group: api, scaling: {min: 0, max: 2}}
    tcp: {target_group: tcp}
    worker: {cpus: 2}
balancer:
  target_groups: {web: {port: 8080}, api: {port: 8080}, tcp: {protocol: TCP, port: 9000}}
  load_balancers:
    edge: {listeners: [{port: 8000, default_action: {forward: web}}, {port: 80, default_action: {forward: api}}]}
    net: {type: network, listeners: [{port: 9000, protocol: TCP, default_action: {forward: tcp}}]}
"""
ALL = ScalingTarget(requests_per_target=100, response_time_p90=timedelta(seconds=1), cpu=50, connections=10)


class World:
    """The services of `shop`, on fakes. `now` are the seconds since the begin."""

    def __init__(self, folder: Path) -> None:
        self.now = 0.0
        self.plane = FakePlane()
        self.balancer = Balancer(folder, self.plane)
        file = folder / "pipeline.yaml"
        file.write_text(_PIPELINE)
        configuration = load(file)
        self.spec = ReleaseSpec.of(configuration, image_id="1", image_tag="1", sha="a" * 40, subject="")
        self.balancer.apply("shop", self.spec.balancer)
        self.programs: dict[str, Program] = {}
        self.engine = FakeEngine(program=lambda spec: self.programs[spec.name], now=self._time)
        self.engine.networks.ensure("shop")
        self.engine.images.add("app")
        self.hosts: dict[str, FakeEngine] = {}
        cluster = ClusterContainers(self._cluster, self._connect)
        self.connections, self.closed = list[ClusterSpec](), 0
        self.metrics = LocalMetrics("shop", self.balancer, GroupLoads(self.plane.access_log, lambda: self.now), cluster)

    def read(self, service: str = "web", target: ScalingTarget | None = ALL, after: float = 15) -> ServiceMetrics:
        """Return the metrics when these seconds have passed."""
        self.now += after
        return self.metrics.read(self.spec, service, target)

    def add_host(self, name: str, processors: int) -> None:
        """Let the replicas run on hosts instead of the local engine."""
        engine = self.hosts[name] = FakeEngine(program=lambda spec: self.programs[spec.name], now=self._time)
        engine.containers.processors = processors
        engine.networks.ensure("shop")
        engine.images.add("app")

    def _cluster(self) -> ClusterSpec:
        return ClusterSpec(hosts=tuple(ClusterHost(HostSpec(name, f"ssh://{name}")) for name in self.hosts))

    @contextmanager
    def _connect(self, cluster: ClusterSpec) -> Iterator[ExistingContainers]:
        self.connections.append(cluster)
        if cluster.is_local:
            yield self.engine.containers
        else:
            links = [HostLink[Engine](name, partial(self._open, name)) for name in self.hosts]
            with closing(HostsContainers(HostLinks(links, timedelta(seconds=DEADLINE)))) as found:
                yield found
        self.closed += 1

    def _open(self, name: str) -> OpenLink[Engine]:
        return OpenLink(self.hosts[name], lambda: None)

    def start(self, service: str, cpu: float = 0.0, host: str = "") -> str:
        """Start a replica that uses so many cores. It is a target if the service has a target group."""
        engine = self.hosts[host] if host else self.engine
        name = f"shop.{service}.r1.{len(self.programs)}"
        self.programs[name] = Program(cpu=cpu)
        labels = {LABEL_PIPELINE: "shop", LABEL_ROLE: ROLE_APP, LABEL_SERVICE: service}
        network = engine.networks.name("shop")
        engine.containers.start(ContainerSpec(name=name, image="app", labels=labels, network=network))
        if group := self.spec.services[service].target_group:
            self.balancer.register("shop", group, Target(id=name, address=f"10.0.0.{len(self.programs)}", port=8080))
        return name

    def pass_checks(self) -> None:
        """Let all health checks pass."""
        for name in self.programs:
            self.plane.answer_checks(name)
        self.plane.run_checks()
        self.balancer.reconcile()

    def _time(self) -> datetime:
        return datetime(2026, 3, 2, tzinfo=UTC) + timedelta(seconds=self.now)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_requests_and_response_times_are_those_of_the_interval(world: World) -> None:
    """The first call has none, because it is not known since when they would count."""
    world.start("web")
    world.pass_checks()
    world.plane.requests += [request() for _ in range(7)]
    first = world.read()
    assert (first.serving, first.requests, first.response_time, first.connections) == (1, None, None, 0)
    world.plane.requests += [request(response=str(milliseconds)) for milliseconds in range(10, 110, 10)]
    world.plane.requests += [request(backend="other.web"), request(response="-1")]
    found = world.read()
    assert (found.requests, found.response_time) == (11 * 4, 0.09)
    again = world.read()
    assert (again.requests, again.response_time) == (0, None)


def test_requests_in_progress_have_arrived(world: World) -> None:
    """Under overload, more arrive than end."""
    world.start("web")
    world.pass_checks()
    world.read()
    for _ in range(6):
        world.plane.send("shop.web")
    world.plane.requests += [request(), request()]
    found = world.read()
    assert (found.requests, found.connections) == (8 * 4, 6)
    for _ in range(6):
        world.plane.finish("shop.web", "shop.web.r1.0")
    world.plane.requests += [request() for _ in range(6)]
    found = world.read()
    assert (found.requests, found.connections) == (0, 0)


def test_new_replicas_do_not_serve(world: World) -> None:
    """Those of other services are not counted."""
    world.start("web")
    world.pass_checks()
    world.start("web")
    world.start("worker")
    found = world.read()
    assert (found.serving, found.new) == (1, 1)


def test_cpu_is_a_share_of_the_limit(world: World) -> None:
    """On average over the replicas that were there at the previous call."""
    world.start("web", cpu=0.1)
    world.start("web", cpu=0.4)
    assert world.read().cpu is None
    found = world.read()
    assert found.cpu == pytest.approx(100 * 0.25 / 0.5)
    world.start("web", cpu=0.5)
    assert world.read().cpu == pytest.approx(50)
    assert world.read().cpu == pytest.approx(100 * (0.1 + 0.4 + 0.5) / 3 / 0.5)


def test_a_service_without_a_target_group_has_its_containers(world: World) -> None:
    """It gets no requests. Without a limit of its CPU, the machine's is the limit."""
    name = world.start("worker", cpu=1.0)
    target = ScalingTarget(cpu=50)
    world.read("worker", target)
    found = world.read("worker", target)
    assert found == replace(ServiceMetrics(serving=1), cpu=found.cpu)
    assert found.cpu == pytest.approx(50)
    world.engine.containers.stop(name, timedelta(0))
    assert world.read("worker", target) == ServiceMetrics(serving=0)


def test_a_network_load_balancer_has_connections(world: World) -> None:
    """And no requests."""
    world.start("tcp", cpu=1.0)
    world.pass_checks()
    world.read("tcp")
    found = world.read("tcp")
    assert (found.serving, found.requests, found.response_time, found.connections) == (1, None, None, 0)
    assert found.cpu == pytest.approx(100 / world.engine.cpus)


def test_only_what_a_policy_needs_is_read(world: World) -> None:
    """Without a target for CPU, the engine is not asked, and without one for requests, the log is not read."""
    world.start("web", cpu=0.1)
    world.engine.faults.fail("containers.of", EngineFault("no"), times=2)
    for target in (None, ScalingTarget(connections=10)):
        world.metrics.forget("web")
        world.read(target=target)
        found = world.read(target=target)
        assert (found.connections, found.requests, found.cpu) == (0, None, None)
    with pytest.raises(EngineFault, match="no"):
        world.read()


def test_after_forget_the_next_call_is_the_first(world: World) -> None:
    """As after a deployment, in which another group may have had a part of the requests."""
    world.start("web")
    world.read()
    world.metrics.forget("web")
    world.plane.requests += [request()]
    assert world.read().requests is None
    world.plane.requests += [request()]
    assert world.read().requests == 4
    world.metrics.close()


def test_a_service_that_may_be_scaled_to_zero(world: World) -> None:
    """What is held is told, and requests are counted whatever the policy keeps, to know that there are none."""
    world.read("api", None)
    assert world.metrics.held(world.spec, "api") == 0
    found = world.read("api", None)
    assert (found.serving, found.held, found.requests, found.connections) == (0, 0, 0, 0)
    assert world.plane.send("shop.api") is None
    assert world.metrics.held(world.spec, "api") == 1
    found = world.read("api", None)
    assert (found.held, found.requests, found.connections) == (1, 0, 1)
    assert world.metrics.held(world.spec, "worker") == world.metrics.held(world.spec, "web") == 0
    assert world.read("web", None).requests is None


def test_the_cpu_of_containers_on_hosts(world: World) -> None:
    """Without a limit, it is a share of the processors of each container's own host."""
    target = ScalingTarget(cpu=50)
    world.read("tcp", target)
    world.add_host("app1", processors=4)
    world.add_host("app2", processors=2)
    world.start("tcp", cpu=1.0, host="app1")
    world.start("tcp", cpu=1.0, host="app2")
    world.read("tcp", target)
    assert world.read("tcp", target).cpu == pytest.approx((100 / 4 + 100 / 2) / 2)
    assert [len(cluster.hosts) for cluster in world.connections] == [0, 2], "connected again, since the cluster changed"
    assert world.closed == 1
    world.metrics.close()
    assert world.closed == 2


def test_containers_on_a_lost_host_do_not_count(world: World) -> None:
    """Also if the host is lost after the list."""
    target = ScalingTarget(cpu=50)
    for host in ("app1", "app2"):
        world.add_host(host, processors=4)
        world.start("worker", cpu=1.0, host=host)
    world.read("worker", target)
    assert world.read("worker", target) == ServiceMetrics(serving=2, cpu=50)
    world.hosts["app2"].faults.fail("containers.cpu_time", EngineFault("lost"))
    assert world.read("worker", target) == ServiceMetrics(serving=2, cpu=50)
    world.hosts["app2"].faults.go_away()
    assert world.read("worker", target) == ServiceMetrics(serving=1, cpu=50)
    world.hosts["app1"].faults.go_away()
    with pytest.raises(EngineFault, match=r"^host app1"):
        world.read("worker", target)
