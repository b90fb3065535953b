"""The metrics of a service: requests and response times, connections, CPU, and replicas."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pipeline.balancer.balancer import Balancer
from pipeline.balancer.model import Target
from pipeline.balancer.telemetry.group_load import GroupLoads
from pipeline.base.errors import EngineFault
from pipeline.config.load import load
from pipeline.config.release import ReleaseSpec
from pipeline.daemon.service_metrics import LocalMetrics, ServiceMetrics
from pipeline.engine.container import ContainerSpec
from pipeline.engine.labels import LABEL_PIPELINE, LABEL_ROLE, LABEL_SERVICE, ROLE_APP
from pipeline.scaling.policy import ScalingTarget
from pipeline.testing.fakes.data_plane import FakePlane
from pipeline.testing.fakes.engine import FakeEngine
from pipeline.testing.fakes.program import Program
from tests.support.access_log import request

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
        self._image = self.engine.images.add("app")
        self.metrics = LocalMetrics(
            "shop", self.balancer, GroupLoads(self.plane.access_log, lambda: self.now), lambda: self.engine
        )

    def read(self, service: str = "web", target: ScalingTarget | None = ALL, after: float = 15) -> ServiceMetrics:
        """Return the metrics when these seconds have passed."""
        self.now += after
        return self.metrics.read(self.spec, service, target)

    def start(self, service: str, cpu: float = 0.0) -> str:
        """Start a replica that uses so many cores. It is a target if the service has a target group."""
        name = f"shop.{service}.r1.{len(self.programs)}"
        self.programs[name] = Program(cpu=cpu)
        labels = {LABEL_PIPELINE: "shop", LABEL_ROLE: ROLE_APP, LABEL_SERVICE: service}
        network = self.engine.networks.name("shop")
        self.engine.containers.start(ContainerSpec(name=name, image=self._image, labels=labels, network=network))
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
