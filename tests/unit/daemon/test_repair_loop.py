"""The repair loop checks for drift each second, and retries failed repairs with a backoff."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest

from pipeline.base.errors import Cancelled, EngineFault, PenstockError
from pipeline.base.home import Home
from pipeline.config.load import load
from pipeline.daemon import repair_loop
from pipeline.daemon.repair_loop import RepairLoop
from pipeline.daemon.scheduler import Scheduler
from pipeline.engine.interfaces import ReplicaChange
from pipeline.runner.context import PipelineContext
from pipeline.runner.deploy_lock import DeployLock
from pipeline.store.store import Store
from pipeline.testing.fakes.clock import FakeClock
from tests.support.waiting import DEADLINE, until

PIPELINE = """\
name: shop
deploy: {target_group: web}
balancer:
  target_groups: {web: {port: 8080}}
  load_balancers: {edge: {listeners: [{port: 8000, default_action: {forward: web}}]}}
"""


class Release:
    """A deployed release with findings. A test sets the outcome of its repair."""

    def __init__(self, clock: FakeClock) -> None:
        self._clock = clock
        self.found: list[str] = []
        self.failure: PenstockError | None = None
        self.blind: PenstockError | None = None
        self.checks: list[float] = []
        self.repairs = 0
        self.stable = True
        self.lost_hosts: tuple[str, ...] = ()
        self.wait: Callable[[threading.Event], None] | None = None
        self.exits: list[tuple[str, int]] = []

    def exited(self, replica: str, exit_code: int) -> None:
        self.exits.append((replica, exit_code))

    def findings(self) -> list[str]:
        self.checks.append(self._clock.monotonic())
        if self.blind:
            raise self.blind
        return self.found

    def lost(self) -> tuple[str, ...]:
        return self.lost_hosts

    def is_stable(self) -> bool:
        return self.stable

    def repair(self, cancelled: threading.Event) -> None:
        self.repairs += 1
        if self.wait:
            self.wait(cancelled)
        if self.failure:
            raise self.failure
        self.found = []

    def close(self) -> None:
        """Do nothing."""


@dataclass
class Events:
    """Whether events report each change, while `lost` are the lost hosts."""

    is_live: bool
    lost: tuple[str, ...] = ()


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
    monkeypatch.setattr(repair_loop, "load_deployer", lambda _: Deployer(made))
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
    pipeline_context: PipelineContext,
    clock: FakeClock,
    deploy_lock: DeployLock | None = None,
    events: Events | None = None,
) -> Iterator[Callable[..., None]]:
    """Run the loop until the block ends. The result reports an event to it."""
    events = events or Events(is_live=False)

    def has_events(lost: Collection[str]) -> bool:
        return events.is_live and tuple(lost) == events.lost

    loop = RepairLoop(lambda: pipeline_context, deploy_lock or DeployLock(), clock, has_events)
    with Scheduler(clock) as scheduler:
        job = scheduler.add("repair loop", loop.step, timedelta(seconds=1))

        def report(change: ReplicaChange | None = None) -> None:
            loop.notify(change)
            job.wake()
            # Only then does the scheduler wait for the next check, and no more for the one before.
            until(lambda: not job.is_running, "the end of the check")
            job.join(0)

        try:
            yield report
        finally:
            job.stop()
            assert job.join(DEADLINE)
            loop.close()


def tick(clock: FakeClock, done: Callable[[], bool], what: str) -> None:
    """Move the clock until `done` returns True."""

    def passed() -> bool:
        clock.advance_to_next_timeout()
        return done()

    until(passed, what)


def messages(pipeline_context: PipelineContext) -> list[tuple[str, str]]:
    return [(event.kind, event.message) for event in pipeline_context.store.events.latest("shop")]


def test_drift_is_checked_each_second(pipeline_context: PipelineContext, clock: FakeClock, release: Release) -> None:
    """A release without drift is checked each second, without a repair or an event."""
    start = clock.monotonic()
    with keeping(pipeline_context, clock):
        tick(clock, lambda: len(release.checks) >= 3, "three checks")
    assert release.checks[:3] == [start + 1, start + 2, start + 3]
    assert release.repairs == 0
    assert messages(pipeline_context) == []


def test_drift_is_repaired(pipeline_context: PipelineContext, clock: FakeClock, release: Release) -> None:
    """Drift is repaired, with an event before and after."""
    release.found = ["web-1 is missing"]
    with keeping(pipeline_context, clock):
        tick(clock, lambda: bool(messages(pipeline_context)[1:]), "a repair")
    assert messages(pipeline_context) == [
        ("reconcile.drift", "web-1 is missing"),
        ("reconcile.repaired", "repaired, no drift left"),
    ]
    assert release.repairs == 1


def test_a_failed_repair_is_retried_with_a_backoff(
    pipeline_context: PipelineContext, clock: FakeClock, release: Release
) -> None:
    """A failed repair is retried after 2, 4, 8 … seconds, at most five minutes, and its event has the delay."""
    release.found, release.failure = ["web-1 is missing"], EngineFault("Docker is full")
    with keeping(pipeline_context, clock):
        tick(clock, lambda: len(release.checks) >= 11, "eleven checks")
        gaps = [later - earlier for earlier, later in zip(release.checks, release.checks[1:11], strict=False)]
        release.failure = None
        tick(clock, lambda: release.found == [], "a repair")
        count = len(release.checks)
        tick(clock, lambda: len(release.checks) >= count + 2, "two checks more")
    assert gaps == [2, 4, 8, 16, 32, 64, 128, 256, 300, 300]
    assert ("reconcile.failed", "Docker is full; retrying in 2 s") in messages(pipeline_context)
    assert ("reconcile.failed", "Docker is full; retrying in 300 s") in messages(pipeline_context)
    assert release.checks[count + 1] - release.checks[count] == 1


def test_a_failed_check_is_repeated_each_second(
    pipeline_context: PipelineContext, clock: FakeClock, release: Release
) -> None:
    """A failed check is repeated each second and reported once."""
    release.blind = EngineFault("Docker is away")
    with keeping(pipeline_context, clock):
        tick(clock, lambda: len(release.checks) >= 5, "five checks")
    assert release.checks[4] - release.checks[0] == 4
    assert messages(pipeline_context) == [("reconcile.failed", "cannot check for drift: Docker is away")]


def test_another_number_of_replicas_preempts_a_repair(
    pipeline_context: PipelineContext, clock: FakeClock, release: Release
) -> None:
    """It may wait for a drain, while more replicas are needed. The next one follows at once."""
    waiting = threading.Event()

    def wait(cancelled: threading.Event) -> None:
        waiting.set()
        assert cancelled.wait(DEADLINE)
        release.wait = None
        raise Cancelled("stopped")

    release.found, release.wait = ["3 containers too many"], wait
    loop = RepairLoop(lambda: pipeline_context, DeployLock(), clock)
    thread = threading.Thread(target=loop.run_once)
    thread.start()
    assert waiting.wait(DEADLINE)
    loop.renumber()
    thread.join(DEADLINE)
    assert messages(pipeline_context)[-1] == (
        "reconcile.preempted",
        "stopped the repair for another number of replicas",
    )
    loop.run_once()
    assert messages(pipeline_context)[-1][0] == "reconcile.repaired"


def test_a_deployment_preempts_a_repair(pipeline_context: PipelineContext, clock: FakeClock, release: Release) -> None:
    """During a deployment there are no checks, and a repair that it preempts is not a failure."""
    deploy_lock = DeployLock()
    release.found, release.failure = ["web-1 is missing"], Cancelled("stopped")
    with keeping(pipeline_context, clock, deploy_lock):
        with deploy_lock.for_deployment():
            for _ in range(3):
                clock.advance_to_next_timeout()
            clock.wait_for_waiters()
            assert release.checks == []
        tick(clock, lambda: len(release.checks) >= 2, "two checks")
    assert release.checks[1] - release.checks[0] == 1
    assert ("reconcile.preempted", "stopped the repair for a deployment") in messages(pipeline_context)


def test_with_events_a_stable_release_is_checked_each_minute(
    pipeline_context: PipelineContext, clock: FakeClock, release: Release
) -> None:
    """And at once after an event, and a few times soon after it."""
    start = clock.monotonic()
    with keeping(pipeline_context, clock, events=Events(is_live=True)) as report:
        tick(clock, lambda: len(release.checks) >= 3, "three checks")
        assert release.checks[:3] == [start + 1, start + 61, start + 121]
        clock.wait_for_waiters()
        before = clock.monotonic()
        report()
        until(lambda: len(release.checks) >= 4, "a check after the event")
        assert release.checks[3] == before


def test_a_lost_host_is_awaited_by_its_events(
    pipeline_context: PipelineContext, clock: FakeClock, release: Release
) -> None:
    """What is stable without it is checked each minute. Until it is known to be lost, it is looked for each second."""
    events = Events(is_live=True, lost=("app2",))
    start = clock.monotonic()
    with keeping(pipeline_context, clock, events=events) as report:
        tick(clock, lambda: len(release.checks) >= 3, "three checks")
        assert release.checks[:3] == [start + 1, start + 2, start + 3]
        release.lost_hosts = ("app2",)
        count = len(release.checks)
        tick(clock, lambda: len(release.checks) >= count + 5, "five checks")
        assert release.checks[-1] - release.checks[-2] == 60
        clock.wait_for_waiters()
        count, events.lost = len(release.checks), ()
        report()
        until(lambda: len(release.checks) > count, "a check when the host has events again")
        count = len(release.checks)
        tick(clock, lambda: len(release.checks) >= count + 6, "six checks")
        assert release.checks[-1] - release.checks[-2] == 1


def test_checks_are_repeated_after_an_event(
    pipeline_context: PipelineContext, clock: FakeClock, release: Release
) -> None:
    """Within a second, because the engine's list follows its events, and a stopped container may be started again."""
    with keeping(pipeline_context, clock, events=Events(is_live=True)) as report:
        tick(clock, lambda: len(release.checks) >= 2, "two checks")
        clock.wait_for_waiters()
        before, first = clock.monotonic(), len(release.checks)
        report()
        until(lambda: len(release.checks) > first, "a check after the event")
        tick(clock, lambda: len(release.checks) >= first + 6, "six checks")
    after = [round(1000 * (check - before)) for check in release.checks[first : first + 6]]
    assert after == [0, 10, 50, 200, 800, 60_800]


def test_an_exit_is_passed_on_at_once(pipeline_context: PipelineContext, clock: FakeClock, release: Release) -> None:
    """Without any time passing, and only the exit: not that a replica starts or is paused."""
    with keeping(pipeline_context, clock, events=Events(is_live=True)) as report:
        tick(clock, lambda: len(release.checks) >= 2, "two checks")
        clock.wait_for_waiters()
        report(ReplicaChange("shop", "web-1"))
        report(ReplicaChange("shop", "web-2", exit_code=137))
        report(ReplicaChange("shop", "web-3", exit_code=0))
        until(lambda: release.exits == [("web-2", 137), ("web-3", 0)], "both exits")


def test_exits_in_a_deployment_are_not_passed_on(
    pipeline_context: PipelineContext, clock: FakeClock, release: Release
) -> None:
    """It stops replicas itself, and reports the others."""
    deploy_lock = DeployLock()
    loop = RepairLoop(lambda: pipeline_context, deploy_lock, clock)
    with deploy_lock.for_deployment():
        loop.notify(ReplicaChange("shop", "web-1", exit_code=143))
        loop.step()
    loop.step()
    assert release.checks
    assert release.exits == []


@pytest.mark.parametrize("reason", ["unstable", "interrupted", "blind"])
def test_otherwise_it_is_checked_each_second(
    reason: str, pipeline_context: PipelineContext, clock: FakeClock, release: Release
) -> None:
    """While a target is not healthy, while the events are interrupted, and while the check fails."""
    release.stable = reason != "unstable"
    release.blind = EngineFault("Docker is away") if reason == "blind" else None
    start = clock.monotonic()
    with keeping(pipeline_context, clock, events=Events(is_live=reason != "interrupted")):
        tick(clock, lambda: len(release.checks) >= 3, "three checks")
    assert release.checks[:3] == [start + 1, start + 2, start + 3]


def test_events_do_not_shorten_the_backoff(
    pipeline_context: PipelineContext, clock: FakeClock, release: Release
) -> None:
    """A failed repair makes events itself. They must not repeat it at once."""
    release.found, release.failure = ["web-1 is missing"], EngineFault("Docker is full")
    with keeping(pipeline_context, clock, events=Events(is_live=True)) as report:
        tick(clock, lambda: release.repairs == 2, "two repairs")
        for _ in range(20):
            report()
        clock.wait_for_waiters()
        tick(clock, lambda: release.repairs == 3, "the third repair")
    assert [later - earlier for earlier, later in zip(release.checks, release.checks[1:3], strict=False)] == [2, 4]


def test_a_service_that_scales_is_not_repaired(pipeline_context: PipelineContext, release: Release) -> None:
    """The events say that it scales, and when it has."""
    release.found = ["web: scaling from 2 to 4 containers: cpu: 90 of 60 %"]
    RepairLoop(lambda: pipeline_context, DeployLock(), FakeClock()).run_once()
    assert messages(pipeline_context) == [
        ("reconcile.drift", "web: scaling from 2 to 4 containers: cpu: 90 of 60 %"),
        ("reconcile.repaired", "scaled, no drift left"),
    ]
