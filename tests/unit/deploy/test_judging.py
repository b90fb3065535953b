"""The judge that a service gets from its settings."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import NoReturn

import pytest

from pipeline.alarms.verdict import Verdict
from pipeline.api import StageContext
from pipeline.balancer.access import ForwardedRequest
from pipeline.balancer.alternate import Alternate, with_alternates
from pipeline.balancer.balancer import Balancer
from pipeline.balancer.data_plane import CheckFact
from pipeline.balancer.model import Target
from pipeline.base.errors import EngineFault
from pipeline.config.load import load
from pipeline.config.service_spec import ServiceSpec
from pipeline.engine.runtime import ReplicaSpec, RestartPolicy
from pipeline.events import Event, Events
from pipeline.store.records import DeploymentState
from pipeline.testing.fakes.clock import FakeClock
from pipeline.testing.fakes.data_plane import FakePlane
from pipeline.testing.fakes.runtime import FakeRuntime
from stages.deploy.judge import Judge, NoJudge
from stages.deploy.judging import AlarmJudges
from tests.support.waiting import until
from tests.unit.deploy.forwarded import NEW, PREVIOUS, START, request

FILE = """\
name: shop
deploy:
  target_group: web
  strategy: {strategy}
  rollback_on: [{conditions}]
balancer:
  target_groups: {{web: {{port: 8080, health_check: {{unhealthy_threshold: 2}}}}}}
  load_balancers: {{edge: {{listeners: [{{port: 8000, default_action: {{forward: web}}}}]}}}}
"""
RATIO = "{metric: http_5xx_ratio, above: 5%}"


def activate(context: StageContext, number: int) -> None:
    """Make releases up to a number, of which the last one is active."""
    store = context.store
    for _ in range(number):
        store.releases.create("shop", 1, sha="a" * 40, subject="", image_id="i", image_tag="t", spec="{}")
    row = store.deployments.begin("shop", 1, None, number)
    store.deployments.finish(row, DeploymentState.SUCCEEDED)


class World:
    """A deployment of release 5, after release 4."""

    def __init__(self, context: StageContext, strategy: str, conditions: str) -> None:
        file = context.home.root.parent / "pipeline.yaml"
        file.write_text(FILE.format(strategy=strategy, conditions=conditions))
        self.clock = FakeClock(START)
        self.plane, self.runtime = FakePlane(), FakeRuntime()
        self.balancer = Balancer(context.home.balancer, self.plane)
        events = Events("shop", 1)
        self.context = replace(context, configuration=load(file), clock=self.clock, events=events)
        configured = self.context.configuration.pipeline
        self.spec = ServiceSpec("web", "sha256:5", configured.deploy.settings, configured.balancer.target_groups["web"])
        self.events: list[Event] = []
        self.context.events.subscribe(self.events.append)
        self.context.events.subscribe(context.store.events.record)
        activate(context, 4)
        context.store.deployments.begin("shop", 1, 4, 5)
        declaration = self.context.configuration.pipeline.balancer
        self.balancer.apply("shop", with_alternates(declaration, {"web": Alternate(10)}))

    def judge(self) -> Judge:
        """Return a judge, as each process makes one."""
        return AlarmJudges(self.context, self.balancer, self.runtime)(self.spec, 5)

    def start(self, place: tuple[str, str], release: int) -> None:
        """Start a replica, and register it."""
        group, name = place
        self.runtime.start(
            ReplicaSpec(
                pipeline="shop", release=release, run=1, template="t", image="i", port=80, name=name, service="web"
            )
        )
        self.runtime.set_restart_policy(name, RestartPolicy.ALWAYS)
        self.balancer.register("shop", group.partition(".")[2], Target(id=name, address="127.0.0.1", port=8080))

    def check(self, target: str, *, passes: bool) -> None:
        """Let the health check of a target pass or fail from now on."""
        self.plane.answer_checks(target, CheckFact("passed" if passes else "failed", int(passes)))
        self.plane.run_checks()

    def serve(self, *requests: ForwardedRequest) -> None:
        """Let requests end."""
        self.plane.requests += requests


def test_without_conditions(context: StageContext) -> None:
    """A service without `rollback_on` has no judge."""
    spec = ServiceSpec("web", "sha256:5", context.configuration.pipeline.deploy.settings, None)
    found = AlarmJudges(context, Balancer(context.home.balancer, FakePlane()), FakeRuntime())(spec, 5)
    assert isinstance(found, NoJudge)


def test_a_canary(context: StageContext) -> None:
    """The alternate group has the new release, and the home group the previous one."""
    world = World(context, "canary", f"{RATIO}, {{metric: http_5xx_ratio, worse_than_previous: true}}")
    found = world.judge()
    found.look()
    world.serve(request(0.5), request(0.5, place=PREVIOUS), request(0.5, place=PREVIOUS))
    world.clock.advance(timedelta(seconds=2))
    texts = [verdict.text for verdict in found.look().verdicts]
    assert "http_5xx_ratio above 5%: 0.0% (0 of 1 requests)" in texts[0]
    assert world.judge().look().verdicts == found.look().verdicts


def test_the_start_is_that_of_the_traffic(context: StageContext) -> None:
    """Requests count from the first look on, and a process that continues counts from there too."""
    world = World(context, "canary", RATIO)
    first = world.judge()
    world.serve(request(0.5, status=500))
    world.clock.advance(timedelta(seconds=10))
    first.look()
    world.serve(request(10.5))
    world.clock.advance(timedelta(seconds=5))
    assert "(0 of 1 requests)" in first.look().verdicts[0].text
    second = world.judge()
    assert "(0 of 1 requests)" in second.look().verdicts[0].text
    started = [event.message for event in world.events if event.kind == "alarm.started"]
    assert started == ["web: release 5 receives traffic, its alarms are evaluated"]


def test_the_start_outlives_a_kill(context: StageContext) -> None:
    """Also if another run continues the deployment. Restarts from before the start do not count."""
    world = World(context, "canary", f"{RATIO}, {{metric: restarts, above: 0}}")
    world.start(NEW, 5)
    world.runtime.exit(NEW[1], 1)
    found = world.judge()
    found.look()
    world.serve(request(0.5, status=500))
    world.clock.advance(timedelta(seconds=2))
    assert found.look().verdicts[1].state == "OK"
    world.runtime.exit(NEW[1], 1)
    row = context.store.deployments.open("shop")
    assert row is not None
    context.store.deployments.adopt(row, 7)
    world.context = replace(world.context, run=7)
    found = world.judge()
    world.clock.advance(timedelta(seconds=2))
    judgement = found.look()
    assert "(1 of 1 requests)" in judgement.verdicts[0].text
    assert judgement.alarm == "alarm: restarts above 0: 1"
    assert [event.kind for event in world.events].count("alarm.started") == 1


def test_an_engine_that_is_away_at_the_start(context: StageContext, monkeypatch: pytest.MonkeyPatch) -> None:
    """The look after it begins, and earlier restarts do not count then either."""
    world = World(context, "canary", "{metric: restarts, above: 0}")
    world.start(NEW, 5)
    world.runtime.exit(NEW[1], 1)
    found = world.judge()
    with monkeypatch.context() as away:

        def refuse(pipeline: str) -> NoReturn:
            raise EngineFault(f"the engine does not list {pipeline}")

        away.setattr(world.runtime, "list", refuse)
        assert found.look().alarm is None
    world.clock.advance(timedelta(seconds=2))
    found.look()
    world.clock.advance(timedelta(seconds=2))
    (verdict,) = found.look().verdicts
    assert verdict.text == "restarts above 0: 0"


def test_another_deployment_starts_anew(context: StageContext) -> None:
    """A later deployment of the same release does not count the requests of an earlier one."""
    world = World(context, "canary", RATIO)
    world.judge().look()
    world.serve(request(0.5, status=500))
    row = context.store.deployments.open("shop")
    assert row is not None
    context.store.deployments.finish(row, row.state.FAILED)
    world.clock.advance(timedelta(minutes=1))
    context.store.deployments.begin("shop", 2, 4, 5)
    found = world.judge()
    found.look()
    world.clock.advance(timedelta(seconds=5))
    assert "(0 of 0 requests)" in found.look().verdicts[0].text


def test_a_rolling_deployment(context: StageContext) -> None:
    """In one group, the names of the replicas tell the releases apart."""
    world = World(context, "{type: rolling, bake_time: 1m}", RATIO)
    found = world.judge()
    found.look()
    world.serve(
        request(0.5, place=("shop.web", "shop.web.r5.0a")),
        request(0.5, place=("shop.web", "shop.web.r4.0a"), status=500),
    )
    world.clock.advance(timedelta(seconds=2))
    assert "(0 of 1 requests)" in found.look().verdicts[0].text


def test_restarts(context: StageContext) -> None:
    """Restarts are those of the new release's containers, also if the previous one has the same number."""
    world = World(context, "canary", "{metric: restarts, above: 0}")
    for place, release in ((NEW, 5), (("shop.web", "shop.web.r5.ffffff"), 5), (PREVIOUS, 4)):
        world.start((place[0], place[1]), release)
    world.runtime.exit("shop.web.r5.ffffff", 1)
    world.runtime.exit(PREVIOUS[1], 1)
    found = world.judge()
    found.look()
    world.clock.advance(timedelta(seconds=2))
    assert found.look().alarm is None
    world.runtime.exit(NEW[1], 1)
    world.clock.advance(timedelta(seconds=1))
    assert found.look().alarm == "alarm: restarts above 0: 1"


def test_a_worker(context: StageContext) -> None:
    """A service without a target group is judged by its containers, and reads no requests."""
    world = World(context, "{type: rolling, bake_time: 1m}", "{metric: restarts, above: 0}")
    settings = world.spec.settings.model_copy(update={"target_group": None})
    world.spec = replace(world.spec, settings=settings, group=None)
    world.start(("shop.web", "shop.web.r5.0a"), 5)
    found = world.judge()
    found.look()
    world.serve(request(0.5, place=("shop.web", "shop.web.r5.0a"), connect_errors=9))
    world.runtime.exit("shop.web.r5.0a", 1)
    world.clock.advance(timedelta(seconds=2))
    assert found.look().alarm == "alarm: restarts above 0: 1"


def test_unhealthy_targets(context: StageContext) -> None:
    """Unhealthy targets are those of the new release."""
    world = World(context, "canary", "{metric: unhealthy_targets, above: 0}")
    for place, release in ((NEW, 5), (PREVIOUS, 4)):
        world.start(place, release)
        world.check(place[1], passes=True)
        world.balancer.reconcile()
    world.check(PREVIOUS[1], passes=False)
    found = world.judge()
    found.look()
    world.clock.advance(timedelta(seconds=2))
    assert found.look().alarm is None
    world.check(NEW[1], passes=False)
    world.clock.advance(timedelta(seconds=1))
    assert found.look().alarm == "alarm: unhealthy_targets above 0: 1"


def test_a_command_knows_the_deployment(context: StageContext, tmp_path: Path) -> None:
    """A command has the names and numbers of the deployment in its environment, and no secret."""
    check = tmp_path / "check.sh"
    names = " ".join(f"$PENSTOCK_{name}" for name in ("PIPELINE", "SERVICE", "RELEASE", "PREVIOUS_RELEASE"))
    check.write_text(f'#!/bin/sh\n[ "{names}" = "shop web 5 4" ]\n')
    check.chmod(0o755)
    world = World(context, "canary", "{command: [./check.sh]}")
    found = world.judge()
    found.look()
    world.clock.advance(timedelta(seconds=2))

    def verdict() -> Verdict | None:
        world.clock.advance(timedelta(seconds=1))
        (found_now,) = found.look().verdicts
        return None if found_now.state == "INSUFFICIENT_DATA" else found_now

    assert until(verdict, "the command has ended") == Verdict("OK", "command ./check.sh: exit code 0")
