"""Whole moves between target groups, with a listener that changes as a stack's does, and processes that die."""

from __future__ import annotations

import random
import secrets
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from pipeline.balancer.balancer import Balancer
from pipeline.balancer.model import Declaration, TargetState
from pipeline.engine.runtime import ReplicaSpec
from pipeline.events import Events
from pipeline.testing.fakes.data_plane import FakePlane
from pipeline.testing.fakes.program import Program
from pipeline.testing.fakes.runtime import FakeRuntime
from stages.deploy.decision import DesiredState
from stages.deploy.executor import ReleaseFailed, RolloutExecutor
from stages.deploy.moving_targets import MemberGroup, MovingTargets
from stages.deploy.replicas import ReplicaSet
from stages.deploy.rolling import RollingStrategy
from stages.deploy.shared_targets import SharedTargets

OWNER, SERVICE, REPLICAS = "aws", "ecs-web", 2
GROUPS = ("old", "new")


class Died(BaseException):
    """The process was killed."""


class World:
    """A service of two tasks in the group `old`, and a listener that a stack changes step by step.

    After every step, each group that gets requests has two healthy targets, and no container ends while it may get
    one. `sick` are releases whose containers never pass a check.
    """

    def __init__(self, folder: Path, seed: int) -> None:
        self.random = random.Random(seed)
        self.plane = FakePlane()
        self.balancer = Balancer(folder, self.plane)
        self.runtime = FakeRuntime(program=lambda _: Program(), before_end=self._check_end)
        self.runtime.prepare(SERVICE)
        self.wanted_group = "old"
        self.weights = {"old": 1}
        self.sick: set[int] = set()
        self.deaths = 0
        self._declare()
        self.is_serving = False
        self.move(1, "old")
        self.is_serving = True

    def move(self, release: int, group: str, timeout: float = 60) -> None:
        """Roll a release out into a group, as the deployment does."""
        template = f"t{release}"
        own = [name for _, name in self.balancer.registry().groups_with(f"{SERVICE}.")]
        targets = MovingTargets(self._member(group), [self._member(n) for n in own if n != group], 0.0, 0.1)
        targets.join(SERVICE)
        wanted = DesiredState(template, REPLICAS, 1, 0, timedelta(seconds=1), timedelta(seconds=timeout))
        spec = ReplicaSpec(pipeline=SERVICE, release=release, run=1, template=template, image="app", port=8080)
        RolloutExecutor(
            ReplicaSet(self.runtime, targets, SERVICE, group),
            wanted,
            RollingStrategy(),
            Events(SERVICE, 1),
            spec=replace(spec, name=secrets.token_hex(3)),
            wait=self._wait,
        ).run()
        targets.leave(SERVICE, self._wait)

    def settle(self) -> None:
        """Let the stack finish with its listener."""
        for _ in range(1000):
            self._step()
            if self.weights == {self.wanted_group: 1}:
                return
        raise AssertionError(f"the listener stays at {self.weights}")

    def healthy(self, group: str) -> set[str]:
        """Return the healthy targets of a group."""
        found = self.balancer.target_health(OWNER, group)
        return {h.target.id for h in found if h.state is TargetState.HEALTHY}

    def members(self) -> dict[str, set[str]]:
        """Return the targets of each group that has any."""
        found = {name: {h.target.id for h in self.balancer.target_health(OWNER, name)} for name in GROUPS}
        return {name: ids for name, ids in found.items() if ids}

    def _wait(self, _: float) -> None:
        self._step()
        if self.deaths and self.random.random() < 0.1:
            self.deaths -= 1
            raise Died

    def _step(self) -> None:
        for replica in self.runtime.list(SERVICE):
            if replica.release not in self.sick and self.random.random() < 0.5:
                self.plane.answer_checks(replica.name)
        self.plane.run_checks()
        self.balancer.reconcile()
        self._check()
        if self.random.random() < 0.3:
            self._change_listener()
            self._check()

    def _change_listener(self) -> None:
        """Take the next step to the wanted group, as `take_over` does."""
        wanted, present = self.wanted_group, next(name for name, weight in self.weights.items() if weight)
        if wanted == present:
            self.weights = {wanted: 1}
        elif wanted not in self.weights:
            self.weights = {present: 1, wanted: 0}
        else:
            states = {h.state for h in self.balancer.target_health(OWNER, wanted)} - {TargetState.DRAINING}
            if TargetState.HEALTHY not in states or states & {TargetState.INITIAL, TargetState.UNUSED}:
                return
            self.weights = {wanted: 1}
        self._declare()

    def _declare(self) -> None:
        check = {"path": "/", "interval": "200ms"}
        groups = {name: {"port": 80, "health_check": check} for name in GROUPS}
        forward = [{"target_group": name, "weight": weight} for name, weight in self.weights.items()]
        listener = {"port": 8000, "default_action": {"forward": {"target_groups": forward}}}
        declaration = {"target_groups": groups, "load_balancers": {"edge": {"listeners": [listener]}}}
        self.balancer.apply(OWNER, Declaration.model_validate(declaration))

    def _member(self, name: str) -> MemberGroup:
        targets, registry = SharedTargets(self.balancer, OWNER, f"{SERVICE}."), self.balancer.registry
        return MemberGroup(
            targets,
            name,
            gets_traffic=lambda: registry().gets_traffic(OWNER, name),
            is_used=lambda: registry().is_used(OWNER, name),
            protocol="HTTP",
        )

    def _check(self) -> None:
        for name, weight in self.weights.items():
            if weight and self.is_serving:
                assert len(self.healthy(name)) >= REPLICAS, (name, self.weights)

    def _check_end(self, name: str) -> None:
        for group, weight in self.weights.items():
            assert not weight or name not in self.healthy(group), f"{name} ends and gets requests of {group}"


@pytest.mark.parametrize("seed", range(4))
def test_a_move_leaves_no_group_without_targets(tmp_path: Path, seed: int) -> None:
    """Whenever the listener changes, both groups have enough healthy targets."""
    world = World(tmp_path, seed)
    world.wanted_group = "new"
    world.move(2, "new")
    world.settle()
    world.move(2, "new")
    assert list(world.members()) == ["new"]
    assert len(world.healthy("new")) == REPLICAS


@pytest.mark.parametrize("seed", range(4))
def test_a_move_that_is_killed_is_undone_and_repeated(tmp_path: Path, seed: int) -> None:
    """Each process that dies leaves a state from which the next one goes back, and then on, without a gap."""
    world = World(tmp_path, seed)
    world.wanted_group, world.deaths = "new", 2
    for _ in range(10):
        try:
            world.move(2, "new")
            break
        except Died:
            if world.deaths == 0:
                world.move(1, "old")
    world.settle()
    world.move(2, "new")
    assert list(world.members()) == ["new"]


@pytest.mark.parametrize("seed", range(4))
def test_a_move_that_fails_is_rolled_back(tmp_path: Path, seed: int) -> None:
    """The listener may have changed before that, and changes back after it."""
    world = World(tmp_path, seed)
    world.wanted_group, world.sick = "new", {2}
    with pytest.raises(ReleaseFailed):
        world.move(2, "new", timeout=0.5)
    world.move(1, "old")
    world.wanted_group = "old"
    world.settle()
    world.move(1, "old")
    assert list(world.members()) == ["old"]
    assert {replica.release for replica in world.runtime.list(SERVICE)} == {1}
