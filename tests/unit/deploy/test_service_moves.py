"""The rollout of a service of a stack: into a group, to another one, and behind none."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.api import StageContext
from pipeline.balancer.balancer import Balancer
from pipeline.balancer.model import Declaration
from pipeline.base.clock import SYSTEM
from pipeline.config.release import ReleaseSpec
from pipeline.ecs.configuration import service_configuration, shared_group
from pipeline.ecs.records import Group, Service, TaskDefinition, Wanted
from pipeline.store.records import DeploymentState
from pipeline.testing.fakes.data_plane import FakePlane
from pipeline.testing.fakes.engine import FakeEngine
from pipeline.testing.fakes.runtime import FakeRuntime
from stages.deploy.release_rollout import ReleaseRollout
from tests.support.waiting import until

OWNER = "aws"
TASK = TaskDefinition(OWNER, "eu-west-1", "web", 1, "t", SYSTEM.now().wall, "app", "shop:1", (8080,))
KEPT = {"protocol": "HTTP", "target_type": "ip"}


class Stack:
    """A listener over two groups, and a service whose releases are rolled out by the deployment's own code."""

    def __init__(self, context: StageContext, folder: Path) -> None:
        configured = context.configuration
        pipeline = configured.pipeline.model_copy(update={"balancer": shared_group(None)})
        self.context = replace(context, configuration=replace(configured, pipeline=pipeline))
        self.plane = FakePlane()
        self.balancer = Balancer(folder, self.plane)
        self.runtime = FakeRuntime()
        self.rollout = ReleaseRollout(self.context, FakeEngine(), self.balancer)
        self.forward(old=1, new=0)
        self.releases = 0

    def forward(self, **weights: int) -> None:
        """Let the listener forward to groups by their weights."""
        check = {"path": "/", "interval": "200ms"}
        groups = {name: {"port": 80, "health_check": check} for name in ("old", "new")}
        forward = [{"target_group": name, "weight": weight} for name, weight in weights.items()]
        listener = {"port": 8000, "default_action": {"forward": {"target_groups": forward}}}
        declaration = {"target_groups": groups, "load_balancers": {"edge": {"listeners": [listener]}}}
        self.balancer.apply(OWNER, Declaration.model_validate(declaration))

    def deploy(self, group: str | None, *services: str) -> ReleaseSpec:
        """Put a new release into service, in a group or behind no load balancer. Default: its service is web."""
        shared = Group("0" * 16, OWNER, group, 8080, KEPT) if group else None
        service = Service(OWNER, "eu-west-1", "default", "web", "s", shared, Wanted(TASK.arn, 2))
        configuration = service_configuration(Path("ecs.json"), service, TASK)
        self.releases += 1
        spec = ReleaseSpec.of(configuration, image_id=f"i{self.releases}", image_tag="t", sha="0" * 40, subject="")
        spec = spec.model_copy(update={"services": dict.fromkeys(services or ("web",), spec.services["web"])})
        replicas = dict.fromkeys(spec.services, 2)
        store, pipeline = self.context.store, self.context.configuration.pipeline.name
        active = store.releases.active(pipeline)
        made = store.releases.create(
            pipeline, 1, sha="0" * 40, subject="", image_id="i", image_tag="t", spec=spec.model_dump_json()
        )
        self.rollout.roll_out(spec, made.number, replicas)
        row = store.deployments.begin(pipeline, 1, active.number if active else None, made.number)
        store.deployments.finish(row, DeploymentState.SUCCEEDED, "", wanted=replicas)
        return spec

    def members(self, group: str) -> set[str]:
        """Return the targets of a group."""
        return {h.target.id for h in self.balancer.target_health(OWNER, group)}

    def pass_checks(self) -> None:
        """Let every replica pass its checks."""
        for name in self.runtime.running:
            self.plane.answer_checks(name)
        self.plane.run_checks()

    def move_listener(self) -> bool:
        """Let the listener forward to the new group, once all of its targets are healthy."""
        states = {h.state.value for h in self.balancer.target_health(OWNER, "new")}
        if states != {"healthy"}:
            return False
        self.forward(new=1)
        return True


@pytest.fixture
def stack(context: StageContext, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stack]:
    """A stack whose containers pass their checks all the time."""
    runtime = FakeRuntime()
    monkeypatch.setattr("pipeline.engine.hosts.local_host", lambda _: None)
    monkeypatch.setattr("pipeline.engine.hosts.runtime_on", lambda _: runtime)
    made = Stack(context, tmp_path / "balancer")
    made.runtime = runtime
    ending = threading.Event()

    def keep_checking() -> None:
        while not ending.wait(0.01):
            made.pass_checks()

    thread = threading.Thread(target=keep_checking)
    thread.start()
    yield made
    ending.set()
    thread.join()


def test_a_service_moves_with_its_listener(stack: Stack) -> None:
    """The new tasks are in both groups until the listener has changed, and leave the old one then."""
    stack.deploy("old")
    before = stack.members("old")
    assert len(before) == 2
    moving = threading.Thread(target=stack.deploy, args=("new",))
    moving.start()
    until(stack.move_listener, "healthy targets in the new group", deadline=60, interval=0.05)
    moving.join(timeout=60)
    after = set(stack.runtime.running)
    assert stack.members("new") == after
    assert stack.members("old") == set()
    assert before.isdisjoint(after)


def test_what_a_listener_uses_is_left_later(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    """The deployment does not wait for ever. What is left over is found once the listener has changed."""
    monkeypatch.setattr("stages.deploy.moving_targets.LISTENER_TIMEOUT", 0.1)
    stack.deploy("old")
    spec = stack.deploy("new")
    assert stack.members("old") == stack.members("new") == set(stack.runtime.running)
    assert stack.rollout.service(spec, "web").left_groups() == []
    stack.forward(new=1)
    assert stack.rollout.service(spec, "web").left_groups() == ["old"]
    stack.rollout.roll_out(spec, stack.releases, {"web": 2})
    assert stack.members("old") == set()


def test_each_service_moves_its_own_targets(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two services in one group stay apart, and one that is taken out leaves both groups."""
    monkeypatch.setattr("stages.deploy.moving_targets.LISTENER_TIMEOUT", 0.1)
    stack.deploy("old", "web", "api")
    spec = stack.deploy("new", "web", "api")
    assert len(stack.runtime.running) == 4
    assert stack.members("old") == stack.members("new") == set(stack.runtime.running)
    web = stack.rollout.service(spec, "web")
    stack.forward(new=1)
    web.roll_out(spec.service("web"), stack.releases, 2)
    assert {name.split(".")[1] for name in stack.members("old")} == {"api"}
    assert (web.left_groups(), stack.rollout.service(spec, "api").left_groups()) == ([], ["old"])
    stack.deploy("new", "web")
    assert stack.members("old") == set()
    assert stack.members("new") == set(stack.runtime.running)
    assert stack.rollout.tear_down() == 2
    assert stack.members("new") == set(stack.runtime.running) == set()


def test_a_service_gets_a_group_and_gives_it_up(stack: Stack) -> None:
    """Tasks behind no load balancer are replaced by healthy targets, and the other way round.

    It takes 10 s, because such a task counts when it has run for 5 s.
    """
    stack.deploy(None)
    first = set(stack.runtime.running)
    assert len(first) == 2
    stack.deploy("old")
    second = set(stack.runtime.running)
    assert stack.members("old") == second
    assert first.isdisjoint(second)
    spec = stack.deploy(None)
    assert stack.rollout.service(spec, "web").left_groups() == []
    assert stack.members("old").isdisjoint(stack.runtime.running)
    assert second.isdisjoint(stack.runtime.running)
