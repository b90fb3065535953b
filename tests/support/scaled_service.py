"""A deployed service with a policy, its daemon, and metrics that a test sets."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pipeline.base.errors import PenstockError
from pipeline.base.home import Home
from pipeline.config.load import load
from pipeline.config.release import ReleaseSpec
from pipeline.daemon.scaling_loop import ScalingLoop
from pipeline.daemon.service_metrics import ServiceMetrics
from pipeline.events import Event
from pipeline.runner.context import PipelineContext
from pipeline.runner.deploy_lock import DeployLock
from pipeline.scaling.controller import CONTROL_INTERVAL
from pipeline.scaling.decision_record import DecisionRecord
from pipeline.scaling.policy import ScalingPolicy, ScalingTarget
from pipeline.store.records import Deployment, DeploymentState
from pipeline.store.scaling import ScalableTarget
from pipeline.store.store import Store
from pipeline.testing.fakes.clock import FakeClock
from tests.support.started_runs import begin_run

NAME = "shop"
INTERVAL = CONTROL_INTERVAL
MONDAY = datetime(2026, 3, 2, 12, tzinfo=UTC)
_PIPELINE = """\
name: shop
deploy: {target_group: web%s}
balancer:
  target_groups: {web: {port: 8080}}
  load_balancers: {edge: {listeners: [{port: 8000, default_action: {forward: web}}]}}
"""
_TO_ZERO = ", scaling: {min: 0, max: 500}"


def policy_text(**keys: Any) -> str:
    """Return a stored policy, by default of 1 to 10 replicas with 100 requests per minute each."""
    return ScalingPolicy.model_validate({"max": 10, "target": {"requests_per_target": 100}} | keys).model_dump_json()


class FakeMetrics:
    """Metrics of a service in which every replica serves, from the requests per minute in total."""

    def __init__(self, service: ScaledService) -> None:
        self._service = service
        self._is_first = True

    def read(self, spec: ReleaseSpec, service: str, target: ScalingTarget | None) -> ServiceMetrics:
        """Return the metrics."""
        if self._service.fault:
            raise self._service.fault
        requests = None if self._is_first else self._service.requests
        self._is_first = False
        serving, held = self._service.count - self._service.missing, self._service.held
        return ServiceMetrics(serving=serving, held=held, requests=requests, connections=held)

    def held(self, spec: ReleaseSpec, service: str) -> int:
        """Return the number of requests that wait for the first replica."""
        if self._service.fault:
            raise self._service.fault
        return self._service.held

    def forget(self, service: str) -> None:
        """Let the next call be the first one."""
        self._is_first = True

    def close(self) -> None:
        """Do nothing."""


class ScaledService:
    """The service `web` of `shop`, whose release may be scaled to zero, unless `scaling` of its file says otherwise.

    `requests` is its load in requests per minute. `missing` replicas do not serve. `held` requests wait for the first.
    `restart` starts another daemon. `changes` are the numbers that were stored, as its repair loop hears of them.
    """

    def __init__(
        self, folder: Path, store: Store, home: Home, wall: datetime = MONDAY, scaling: str = _TO_ZERO
    ) -> None:
        self.clock = FakeClock(wall)
        self.store = store
        self.requests: float | None = 0.0
        self.missing = 0
        self.held = 0
        self.fault: PenstockError | None = None
        self.events: list[Event] = []
        self.changes: list[int] = []
        file = folder / "pipeline.yaml"
        file.write_text(_PIPELINE % scaling)
        self._context = PipelineContext(home, load(file), store, (self.events.append,), clock=self.clock)
        self.restart()

    def restart(self) -> None:
        """Start a daemon in place of the one before."""
        self.lock = DeployLock()
        self.loop = ScalingLoop(
            lambda: self._context, self.lock, self.clock, lambda: FakeMetrics(self), self._on_change
        )

    def deploy(self, count: int | None = None, policy: str | None = None) -> None:
        """Deploy a release with a number of replicas, by default the newest, and a policy, by default the last one."""
        with self.deployment(count, policy):
            """Nothing goes wrong."""

    @contextmanager
    def deployment(self, count: int | None = None, policy: str | None = None) -> Iterator[int]:
        """Keep a deployment open, and yield its number of replicas."""
        with self.lock.for_deployment():
            row, wanted = self.begin(count)
            yield wanted
            self.finish(row, wanted, policy)

    def begin(self, count: int | None = None) -> tuple[Deployment, int]:
        """Open the row of a deployment to a new release, and return it with its number of replicas."""
        run, active = begin_run(self.store, NAME).number, self.store.releases.active(NAME)
        wanted = count or self.store.services.wanted(NAME, "web") or 1
        release = self.store.releases.create(
            NAME, run, sha="a" * 40, subject="", image_id="1", image_tag="1", spec=self._spec()
        )
        return self.store.deployments.begin(NAME, run, active.number if active else None, release.number), wanted

    def finish(self, row: Deployment, count: int, policy: str | None = None) -> None:
        """Let a deployment succeed."""
        self.store.deployments.finish(
            row, DeploymentState.SUCCEEDED, wanted={"web": count}, scaling={"web": policy} if policy else None
        )

    def tick(self, count: int = 1) -> None:
        """Let control intervals pass."""
        for _ in range(count):
            self.loop.step()
            self.clock.advance(INTERVAL)

    @property
    def count(self) -> int:
        """The wanted number of replicas."""
        return self.store.services.wanted(NAME, "web") or 0

    @property
    def target(self) -> ScalableTarget:
        """The stored policy, state and decision."""
        (found,) = self.store.scaling.targets(NAME)
        return found

    @property
    def reason(self) -> str:
        """The reason of the last stored decision."""
        return DecisionRecord.model_validate_json(self.target.decision).reason

    def heard(self, *kinds: str) -> list[str]:
        """Return the texts of the events of these kinds."""
        return [event.message for event in self.events if event.kind in kinds]

    def _on_change(self) -> None:
        self.changes.append(self.count)

    def _spec(self) -> str:
        return ReleaseSpec.of(
            self._context.configuration, image_id="1", image_tag="1", sha="a" * 40, subject=""
        ).model_dump_json()
