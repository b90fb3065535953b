"""A runtime and a data plane in memory, for the Deploy stage that is shipped."""

from __future__ import annotations

import re
import threading
from collections import Counter
from pathlib import Path

import pytest

from pipeline.balancer.balancer import Balancer
from pipeline.balancer.model import TargetState
from pipeline.testing.fakes.data_plane import FakePlane
from pipeline.testing.fakes.program import Program
from pipeline.testing.fakes.runtime import FakeRuntime
from stages.deploy import open_rollout, release_drift
from stages.deploy import stage as deploy_stage
from stages.deploy.stage import DockerDeploy
from tests.unit.core.world import NAME, World

REPLICAS = 2


class Machine:
    """The replicas and the data plane, which outlive every process. All health checks pass."""

    def __init__(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        self.world = world
        self._failing: set[tuple[str, int]] = set()
        self.runtime = FakeRuntime(
            program=lambda spec: Program(exit_code=1 if (spec.service, spec.release) in self._failing else None)
        )
        self.plane = FakePlane()
        self.balancer = Balancer(world.home.balancer, self.plane)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._check)
        for module in (deploy_stage, open_rollout, release_drift):
            monkeypatch.setattr(module, "local_engine", lambda _: world.engine)
            monkeypatch.setattr(module, "open_balancer", self._open_balancer)
        monkeypatch.setattr("pipeline.engine.hosts.runtime_on", lambda _: self.runtime)
        world.stages.install(monkeypatch, DockerDeploy)
        self.scale(REPLICAS)

    def __enter__(self) -> Machine:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join()

    def scale(self, replicas: int) -> None:
        """Write another number of replicas into the pipeline.yaml."""
        text = re.sub("target_group: web[^}]*", f"target_group: web, replicas: {replicas}", self.world.file.read_text())
        self.world.file.write_text(text)

    def assert_serving(self, release: int, replicas: int = REPLICAS) -> None:
        """Assert that exactly the replicas of a release run and receive traffic."""
        found = self.runtime.list(NAME)
        assert [(replica.release, replica.running) for replica in found] == [(release, True)] * replicas
        states = {health.target.id: health.state for health in self.balancer.target_health(NAME, "web")}
        assert states == dict.fromkeys((replica.name for replica in found), TargetState.HEALTHY)

    def fail(self, service: str, release: int) -> None:
        """Let each replica of a service in a release exit as soon as it starts."""
        self._failing.add((service, release))

    def counts(self) -> Counter[tuple[str, int]]:
        """Return the number of running replicas by service and release."""
        return Counter((one.service, one.release) for one in self.runtime.list(NAME) if one.running)

    def names(self) -> dict[str, set[str]]:
        """Return the names of the running replicas by service."""
        found: dict[str, set[str]] = {}
        for one in self.runtime.list(NAME):
            if one.running:
                found.setdefault(one.service, set()).add(one.name)
        return found

    def heard(self) -> list[str]:
        """Return the texts of the latest events."""
        return [event.message for event in self.world.store.events.latest(NAME)]

    def _open_balancer(self, _: Path) -> Balancer:
        return Balancer(self.world.home.balancer, self.plane)

    def _check(self) -> None:
        while not self._stopping.wait(0.01):
            for name in self.runtime.running:
                self.plane.answer_checks(name)
            self.plane.run_checks()
