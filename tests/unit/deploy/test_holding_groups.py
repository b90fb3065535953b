"""Deployments that end the holding of requests, while some are held."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.api import StageContext
from pipeline.balancer.balancer import Balancer
from pipeline.balancer.model import ApplicationTargetGroup, Declaration
from pipeline.config.load import load
from pipeline.config.release import ReleaseSpec
from pipeline.testing.fakes.data_plane import FakePlane
from pipeline.testing.fakes.engine import FakeEngine
from pipeline.testing.fakes.runtime import FakeRuntime
from stages.deploy.holding_groups import left_holding, with_held_requests
from stages.deploy.release_rollout import ReleaseRollout
from tests.support.waiting import until

_PIPELINE = """\
name: shop
deploy: {target_group: web, %s}
balancer:
  target_groups: {web: {port: 8080}, other: {port: 80}}
  load_balancers: {edge: {listeners: [{port: 8000, default_action: {forward: web}}]}}
"""
HOLDING, PLAIN = "scaling: {min: 0, max: 2}", "replicas: 1"


def declared(folder: Path, keys: str) -> Declaration:
    """Return what a release declares."""
    return spec(folder, keys).balancer


def spec(folder: Path, keys: str) -> ReleaseSpec:
    """Return a release."""
    file = folder / "pipeline.yaml"
    file.write_text(_PIPELINE % keys)
    return ReleaseSpec.of(load(file, {}, {}), image_id=keys, image_tag="1", sha="a" * 40, subject="")


def test_a_group_without_a_target_holds_on(tmp_path: Path) -> None:
    """Until it has one. Others are as the release declares them."""
    before, after = declared(tmp_path, HOLDING), declared(tmp_path, PLAIN)
    assert left_holding(after, before) == ["web"]
    kept = with_held_requests(after, before, lambda _: False)
    assert kept == before
    assert with_held_requests(after, before, lambda _: True) is after
    assert with_held_requests(after, None, lambda _: False) is after
    assert with_held_requests(before, after, lambda _: False) is before
    assert left_holding(before, before) == left_holding(before, after) == []


class World:
    """A service that is deployed with a fake plane and a fake runtime."""

    def __init__(self, context: StageContext, folder: Path) -> None:
        self._folder = folder
        self.plane, self.runtime = FakePlane(), FakeRuntime()
        self.balancer = Balancer(folder / "balancer", self.plane)
        self._context = context
        self.checking = threading.Event()

    def roll_out(self, keys: str, release: int, replicas: int) -> None:
        """Put a release into service."""
        made = spec(self._folder, keys)
        configuration = load(self._folder / "pipeline.yaml", {}, {})
        context = replace(self._context, configuration=configuration)
        ReleaseRollout(context, FakeEngine(), self.balancer).roll_out(made, release, {"web": replicas})

    def pass_checks(self) -> None:
        """Let every replica pass its checks, once checks are made."""
        if self.checking.is_set():
            for name in self.runtime.running:
                self.plane.answer_checks(name)
            self.plane.run_checks()

    @property
    def holds(self) -> bool:
        """True if the group is declared as one that holds requests."""
        found = self.balancer.declaration("shop")
        group = found.target_groups["web"] if found else None
        return isinstance(group, ApplicationTargetGroup) and group.hold_time is not None


@pytest.fixture
def world(context: StageContext, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """A service whose checks pass all the time, from `checking` on."""
    made, ending = World(context, tmp_path), threading.Event()
    monkeypatch.setattr("pipeline.engine.hosts.local_host", lambda _: None)
    monkeypatch.setattr("pipeline.engine.hosts.runtime_on", lambda _: made.runtime)

    def keep_checking() -> None:
        while not ending.wait(0.01):
            made.pass_checks()

    thread = threading.Thread(target=keep_checking)
    thread.start()
    yield made
    ending.set()
    thread.join()


def test_a_release_that_holds_nothing_loses_nothing(world: World) -> None:
    """Requests are held until its first replica is healthy. Then the group holds none any more."""
    world.checking.set()
    world.roll_out(HOLDING, 1, 1)
    world.roll_out(HOLDING, 1, 0)
    assert not world.runtime.running
    assert world.plane.send("shop.web") is None
    assert world.balancer.held_requests("shop", "web") == 1
    world.checking.clear()
    deploying = threading.Thread(target=world.roll_out, args=(PLAIN, 2, 1))
    deploying.start()
    until(lambda: world.runtime.running, "the new replica runs")
    assert world.holds
    assert world.balancer.held_requests("shop", "web") == 1
    world.checking.set()
    deploying.join()
    assert not world.holds
    assert world.balancer.held_requests("shop", "web") == 0
