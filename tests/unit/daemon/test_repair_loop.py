"""What is deployed is looked after each second, and a repair that fails is tried again less and less often."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pipeline.base.errors import Cancelled, EngineFault, PenstockError
from pipeline.base.home import Home
from pipeline.config.load import load
from pipeline.daemon import repair_loop
from pipeline.daemon.repair_loop import RepairLoop
from pipeline.runner.context import PipelineContext
from pipeline.runner.deploy_lock import DeployLock
from pipeline.store.store import Store
from pipeline.testing.fakes.clock import FakeClock
from tests.support.waiting import until

PIPELINE = """\
name: shop
deploy: {target_group: web}
balancer:
  target_groups: {web: {port: 8080}}
  load_balancers: {edge: {listeners: [{port: 8000, default_action: {forward: web}}]}}
"""


class Release:
    """What is deployed, as the loop sees it: what is amiss with it, and how a repair ends."""

    def __init__(self, clock: FakeClock) -> None:
        self._clock = clock
        self.found: list[str] = []
        self.failure: PenstockError | None = None
        self.blind: PenstockError | None = None
        self.looks: list[float] = []
        self.repairs = 0

    def findings(self) -> list[str]:
        self.looks.append(self._clock.monotonic())
        if self.blind:
            raise self.blind
        return self.found

    def repair(self, cancelled: threading.Event) -> None:
        self.repairs += 1
        if self.failure:
            raise self.failure
        self.found = []

    def close(self) -> None:
        """Hold nothing."""


class Deployer:
    def __init__(self, release: Release) -> None:
        self._release = release

    def drift(self, _: object) -> Release:
        return self._release


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def release(clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> Release:
    made = Release(clock)
    monkeypatch.setattr(repair_loop, "load_deployer", lambda: Deployer(made))
    return made


@pytest.fixture
def pipeline_context(tmp_path: Path) -> Iterator[PipelineContext]:
    file = tmp_path / "pipeline.yaml"
    file.write_text(PIPELINE)
    home = Home.locate({"PENSTOCK_HOME": str(tmp_path / "home")})
    with Store(home.database) as store:
        yield PipelineContext(home, load(file), store)


@contextmanager
def keeping(
    pipeline_context: PipelineContext, clock: FakeClock, deploy_lock: DeployLock | None = None
) -> Iterator[None]:
    """Run the loop as long as this is entered."""
    loop = RepairLoop(lambda: pipeline_context, deploy_lock or DeployLock(), clock)
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        yield
    finally:
        loop.stop()
        thread.join()


def tick(clock: FakeClock, done: Callable[[], bool], what: str) -> None:
    """Pass the time until it comes to that."""

    def passed() -> bool:
        clock.advance_to_next_timeout()
        return done()

    until(passed, what, deadline=10)


def messages(pipeline_context: PipelineContext) -> list[tuple[str, str]]:
    return [(event.kind, event.message) for event in pipeline_context.store.events.latest("shop")]


def test_each_second_it_looks(pipeline_context: PipelineContext, clock: FakeClock, release: Release) -> None:
    """What is well is not repaired, and nothing is said."""
    start = clock.monotonic()
    with keeping(pipeline_context, clock):
        tick(clock, lambda: len(release.looks) >= 3, "three looks")
    assert release.looks[:3] == [start + 1, start + 2, start + 3]
    assert release.repairs == 0
    assert messages(pipeline_context) == []


def test_what_is_amiss_is_repaired(pipeline_context: PipelineContext, clock: FakeClock, release: Release) -> None:
    """It says what it found, and that it is well again."""
    release.found = ["web-1 is missing"]
    with keeping(pipeline_context, clock):
        tick(clock, lambda: bool(messages(pipeline_context)[1:]), "a repair")
    assert messages(pipeline_context) == [
        ("reconcile.drift", "web-1 is missing"),
        ("reconcile.repaired", "repaired, no drift left"),
    ]
    assert release.repairs == 1


def test_a_repair_that_fails_is_tried_again_less_and_less_often(
    pipeline_context: PipelineContext, clock: FakeClock, release: Release
) -> None:
    """After 2, 4, 8 … seconds, five minutes at most, and it says when."""
    release.found, release.failure = ["web-1 is missing"], EngineFault("Docker is full")
    with keeping(pipeline_context, clock):
        tick(clock, lambda: len(release.looks) >= 11, "eleven looks")
        gaps = [later - earlier for earlier, later in zip(release.looks, release.looks[1:11], strict=False)]
        release.failure = None
        tick(clock, lambda: release.found == [], "a repair")
        count = len(release.looks)
        tick(clock, lambda: len(release.looks) >= count + 2, "two looks more")
    assert gaps == [2, 4, 8, 16, 32, 64, 128, 256, 300, 300]
    assert ("reconcile.failed", "Docker is full; retrying in 2 s") in messages(pipeline_context)
    assert ("reconcile.failed", "Docker is full; retrying in 300 s") in messages(pipeline_context)
    assert release.looks[count + 1] - release.looks[count] == 1


def test_who_cannot_see_looks_as_often_as_ever(
    pipeline_context: PipelineContext, clock: FakeClock, release: Release
) -> None:
    """And says so once: Docker may be away for a night."""
    release.blind = EngineFault("Docker is away")
    with keeping(pipeline_context, clock):
        tick(clock, lambda: len(release.looks) >= 5, "five looks")
    assert release.looks[4] - release.looks[0] == 4
    assert messages(pipeline_context) == [("reconcile.failed", "cannot check for drift: Docker is away")]


def test_a_deployment_goes_first(pipeline_context: PipelineContext, clock: FakeClock, release: Release) -> None:
    """While it moves targets nothing is looked at, and a repair that it stops is no failure."""
    deploy_lock = DeployLock()
    release.found, release.failure = ["web-1 is missing"], Cancelled("stopped")
    with keeping(pipeline_context, clock, deploy_lock):
        with deploy_lock.for_deployment():
            for _ in range(3):
                clock.advance_to_next_timeout()
            clock.wait_for_waiters()
            assert release.looks == []
        tick(clock, lambda: len(release.looks) >= 2, "two looks")
    assert release.looks[1] - release.looks[0] == 1
    assert ("reconcile.preempted", "stopped the repair for a deployment") in messages(pipeline_context)
