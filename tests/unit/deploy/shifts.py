"""Deployments that shift traffic, by the stage that is shipped, with a runtime and a data plane in memory."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial

import pytest

from pipeline.api import Image, Revision, StageContext
from pipeline.balancer.alternate import shares
from pipeline.balancer.balancer import Balancer
from pipeline.base.clock import SYSTEM
from pipeline.base.errors import EngineFault, PenstockError, StageFailed
from pipeline.config.load import Configuration, load
from pipeline.config.service_spec import ServiceSpec
from pipeline.engine.runtime import Replica
from pipeline.events import Event, Events
from pipeline.runner.context import PipelineContext
from pipeline.runner.recovery import recover
from pipeline.store.deployment_progress import ServiceProgress
from pipeline.store.queue import RunRequest
from pipeline.store.records import DeploymentState, Release, RunState, Trigger
from pipeline.testing.fakes.clock import FakeClock
from pipeline.testing.fakes.data_plane import FakePlane
from pipeline.testing.fakes.engine import FakeEngine
from pipeline.testing.fakes.program import Program
from pipeline.testing.fakes.runtime import FakeRuntime
from stages.deploy import open_rollout, release_drift, stage
from stages.deploy.judge import Judge, Judgement, Mirroring
from stages.deploy.lifecycle import Lifecycle, LifecycleEvent
from stages.deploy.paired_targets import PairedHealth
from stages.deploy.release_drift import ReleaseDrift
from stages.deploy.release_rollout import ReleaseRollout
from stages.deploy.stage import DockerDeploy
from tests.unit.deploy.deployments import Killed

PIPELINE = """\
name: shop
execution_mode: {mode}
deploy:
{services}
balancer:
  target_groups: {{{groups}}}
  load_balancers: {{edge: {{listeners: [{listeners}]}}}}
"""
GROUP = "{name}: {{port: 8080, deregistration_delay: 1s, health_check: {{path: /, interval: 200ms}}}}"
LISTENER = "{{port: {port}, default_action: {{forward: {name}}}}}"


class Shop:
    """The pipeline `shop`, whose deployments take no real time. The containers of `broken` commits fail their checks.

    `alarms` has the alarm of each commit, and `kill_at` the kind of event at which the process dies, with the number of
    such events before it. `hooked` has the hooks that ran, each with the share of that moment. A hook fails or dies if
    its name is in `failing_hook` or `dying_hook`.
    """

    def __init__(self, context: StageContext, monkeypatch: pytest.MonkeyPatch, *services: str) -> None:
        self.names = services or ("web",)
        self.clock = FakeClock(auto_advance=True)
        self.plane = FakePlane()
        self.balancer = Balancer(context.home.root / "plane", self.plane)
        self.runtime = FakeRuntime(program=lambda _: Program())
        self.engine = FakeEngine()
        self.broken: set[str] = set()
        self.events: list[Event] = []
        self.kill_at: tuple[str, int] | None = None
        self.strategy = "canary"
        self.replicas = 2
        self.is_queued = False
        """Runs come from the queue, as those of the daemon do. One that is queued goes on."""
        self.settings = ""
        self.mode = "superseded"
        self.alarms: dict[str, str] = {}
        self.judgement = Judgement()
        self.looks = 0
        self.copy_alarms: dict[str, str] = {}
        """The alarm that the copies of each commit raise."""
        self.copy_looks = 0
        self.mirrorings = 0
        """The number of those that were made and not stopped."""
        self.die_after_looks: int | None = None
        self.at_look: dict[int, Callable[[], object]] = {}
        """What happens at a look of the judge, by its number."""
        self._away_until = float("-inf")
        self.hooked: list[tuple[str, float | None]] = []
        self.failing_hook = self.dying_hook = ""
        self._context = context
        rollout = partial(ReleaseRollout, hooks=self._hooks, judge=self._judge, mirroring=self._mirror)
        monkeypatch.setattr(open_rollout, "ReleaseRollout", rollout)
        monkeypatch.setattr(release_drift, "local_engine", lambda _: self.engine)
        monkeypatch.setattr(release_drift, "open_balancer", lambda _: self.balancer)
        monkeypatch.setattr("pipeline.engine.hosts.local_host", lambda _: None)
        monkeypatch.setattr("pipeline.engine.hosts.runtime_on", lambda _: self.runtime)
        monkeypatch.setattr(self.runtime, "list", self._list)
        for module in (stage, open_rollout):
            monkeypatch.setattr(module, "open_balancer", lambda _: self.balancer)
            monkeypatch.setattr(module, "local_engine", lambda _: _entered(self.engine))
        monkeypatch.setattr("pipeline.engine.hosts.local_engine", lambda _: _entered(self.engine))
        monkeypatch.setattr(stage, "prune", lambda *_, **__: None)
        self._ending = threading.Event()
        self._checking = threading.Thread(target=self._keep_checking)

    def engine_away(self, seconds: float) -> None:
        """Let the engine not list containers for some seconds of the shop's clock."""
        self._away_until = self.clock.monotonic() + seconds

    def _list(self, pipeline: str) -> tuple[Replica, ...]:
        if self.clock.monotonic() < self._away_until:
            raise EngineFault("the engine is away")
        return FakeRuntime.list(self.runtime, pipeline)

    @contextmanager
    def running(self) -> Iterator[Shop]:
        """Let health checks run within the block."""
        self._checking.start()
        try:
            yield self
        finally:
            self._ending.set()
            self._checking.join()

    def _keep_checking(self) -> None:
        while not self._ending.wait(0.002):
            for name, spec in self.runtime.specs.items():
                if name in self.runtime.running and spec.image not in self.broken:
                    self.plane.answer_checks(name)
            self.plane.run_checks()

    def _judge(self, spec: ServiceSpec, release: int) -> Judge:
        return _Judge(self, self.alarms.get(spec.image_id.removeprefix("sha256:")))

    def _mirror(self, spec: ServiceSpec, release: int, health: Callable[[], PairedHealth]) -> Mirroring:
        return _Mirroring(self, self.copy_alarms.get(spec.image_id.removeprefix("sha256:")), health)

    def _hooks(self, spec: ServiceSpec, release: int) -> Lifecycle:
        return _Hooks(self)

    def context(self) -> StageContext:
        """Return the context of a new process, with a run of its own."""
        return replace(
            self._pipeline_context().stage_context(self._new_events()), run=self._begin_run(), clock=self.clock
        )

    def recover(self, *, holds: bool | None = None, serves: bool = False) -> None:
        """Recover after a kill, as a command does before its own work, or as the daemon if it `serves`."""
        recover(self._pipeline_context(), holds=holds, serves=serves)

    def configuration(self) -> Configuration:
        """Return the configuration of a new process."""
        file = self._context.home.root / "pipeline.yaml"
        file.write_text(self._text())
        return load(file)

    def _pipeline_context(self) -> PipelineContext:
        listeners = [self.events.append, self.die]
        return PipelineContext(
            self._context.home, self.configuration(), self._context.store, listeners, clock=self.clock
        )

    def _text(self) -> str:
        settings = f"replicas: {self.replicas}, strategy: {self.strategy}{self.settings}"
        groups = ", ".join(GROUP.format(name=name) for name in self.names)
        listeners = ", ".join(LISTENER.format(port=8000 + n, name=name) for n, name in enumerate(self.names))
        if len(self.names) == 1:
            services = f"  {{target_group: web, {settings}}}"
        else:
            parts = (f"{name}: {{target_group: {name}, {settings}}}" for name in self.names)
            services = f"  services: {{{', '.join(parts)}}}"
        return PIPELINE.format(mode=self.mode, services=services, groups=groups, listeners=listeners)

    def _new_events(self) -> Events:
        events = Events("shop", 1)
        events.subscribe(self.events.append)
        events.subscribe(self.die)
        return events

    def die(self, event: Event) -> None:
        """Raise `Killed` at the event at which the process is to die."""
        if self.kill_at and event.kind == self.kill_at[0]:
            kind, left = self.kill_at
            self.kill_at = (kind, left - 1)
            if not left:
                self.kill_at = None
                raise Killed

    def _begin_run(self) -> int:
        store = self._context.store
        if self.is_queued:
            if not store.queue.unfinished("shop"):
                store.queue.put("shop", [RunRequest(Trigger.HOOK, sha="b" * 40)], mode="queued")
            claimed = store.queue.claim("shop", "queued")
            assert claimed is not None
            return claimed.number
        for left in store.runs.running("shop"):
            store.runs.finish("shop", left.number, RunState.INTERRUPTED)
        run = store.queue.begin("shop", RunRequest(Trigger.COMMAND, None), "superseded")
        assert run is not None
        return run.number

    def plan(self, commit: str) -> list[str]:
        """Return the plan of a run of a commit."""
        context = self._pipeline_context().stage_context()
        return DockerDeploy().plan(context, _revision(commit), Image(f"sha256:{commit}", f"shop:{commit}"))

    def deploy(self, commit: str) -> Release:
        """Deploy a commit, as a new process."""
        revision = _revision(commit)
        context = self.context()
        try:
            release = DockerDeploy().deploy(context, revision, Image(f"sha256:{commit}", f"shop:{commit}"))
        except PenstockError:
            self._context.store.runs.finish("shop", context.run, RunState.FAILED)
            raise
        self._context.store.runs.finish("shop", context.run, RunState.SUCCEEDED)
        return release

    def kill(self, commit: str, kind: str, count: int = 0) -> None:
        """Deploy a commit in a process that dies at an event."""
        self.kill_at = (kind, count)
        with pytest.raises(Killed):
            self.deploy(commit)

    def is_current(self) -> bool:
        """Return whether the active release has the current configuration, and nothing moves away from it."""
        return DockerDeploy().is_current(self._pipeline_context().stage_context())

    def command(self, name: str) -> None:
        """Execute another command than `run`, as a new process."""
        context, deployer = self.context(), DockerDeploy()
        match name:
            case "rollback":
                releases = self._context.store.releases.all("shop")
                for commit in "ab":
                    self.engine.images.add(f"sha256:{commit}")
                deployer.rollback(context, releases[-1])
            case "scale":
                deployer.scale(context, "web", self.replicas)
            case "restart":
                deployer.restart(context, None)
            case "down":
                deployer.down(context)

    def drift(self) -> ReleaseDrift:
        """Return what finds and repairs differences from the active release."""
        return ReleaseDrift(self.context())

    def abandon(self) -> None:
        """Close the open deployment, as a rollback does that fails."""
        row = self._context.store.deployments.open("shop")
        assert row is not None
        self._context.store.deployments.finish(row, DeploymentState.FAILED)

    def shares(self) -> dict[str, float]:
        """Return the share of each alternate group."""
        declared = self.balancer.declaration("shop")
        return dict(shares(declared)) if declared else {}

    def progress(self) -> list[ServiceProgress]:
        """Return the stored progress of the open deployment."""
        row = self._context.store.deployments.open("shop")
        return self._context.store.progress.all(row) if row else []

    def kinds(self, prefix: str) -> list[str]:
        """Return the kinds of the events that begin so, in their order."""
        return [event.kind for event in self.events if event.kind.startswith(prefix)]

    def shown_shares(self) -> list[float]:
        """Return the share of each step, as its event tells it."""
        return [float(str(event.fields["share"])) for event in self.events if event.kind == "shift.step"]

    def images(self, service: str = "web") -> list[str]:
        """Return the image of each container of a service that runs."""
        specs = self.runtime.specs
        return sorted(specs[n].image for n in self.runtime.running if specs[n].service == service)

    def assert_at_home(self, commit: str) -> None:
        """Exactly the replicas of a commit run, each is a healthy target at home, and nothing else is declared."""
        declared = self.balancer.declaration("shop")
        assert declared is not None
        assert set(declared.target_groups) == set(self.names)
        assert self.shares() == {}
        for name in self.names:
            assert self.images(name) == [f"sha256:{commit}"] * self.replicas
            health = self.balancer.target_health("shop", name)
            assert sorted(h.target.id for h in health) == sorted(
                n for n in self.runtime.running if self.runtime.specs[n].service == name
            )
            assert {h.state.value for h in health} == {"healthy"}
        assert self._context.store.deployments.open("shop") is None


class _Judge:
    def __init__(self, shop: Shop, alarm: str | None) -> None:
        self._shop = shop
        self._alarm = alarm

    def look(self) -> Judgement:
        self._shop.looks += 1
        is_rolling = "rolling" in self._shop.strategy
        # One that continues may have had some.
        may_have = any(self._shop.shares().values()) or "shift.resumed" in self._shop.kinds("shift.")
        assert is_rolling or may_have, "a release without requests is judged"
        self._shop.at_look.get(self._shop.looks, lambda: None)()
        if self._shop.looks == self._shop.die_after_looks:
            raise Killed
        found = self._shop.judgement
        return replace(found, alarm=self._alarm or found.alarm)


class _Mirroring:
    def __init__(self, shop: Shop, alarm: str | None, health: Callable[[], PairedHealth]) -> None:
        self._shop = shop
        self._alarm = alarm
        self._health = health
        shop.mirrorings += 1

    def look(self) -> Judgement:
        self._shop.copy_looks += 1
        assert list(self._shop.shares().values()) == [0.0], "a release that gets copies gets no requests"
        found = self._health()
        assert len(found.home) == len(found.alternate) == self._shop.replicas
        self._shop.at_look.get(self._shop.copy_looks, lambda: None)()
        if self._shop.copy_looks == self._shop.die_after_looks:
            raise Killed
        return Judgement(alarm=self._alarm, insufficient_data="rollback")

    def summary(self) -> str:
        return "none has failed"

    def stop(self) -> None:
        self._shop.mirrorings -= 1


class _Hooks:
    def __init__(self, shop: Shop) -> None:
        self._shop = shop

    def run(self, event: LifecycleEvent, interrupted: threading.Event | None = None) -> None:
        self._shop.hooked.append((event, self._shop.shares().get("web")))
        if event == self._shop.dying_hook:
            self._shop.dying_hook = ""
            raise Killed
        if event == self._shop.failing_hook:
            raise StageFailed(f"{event} failed")


@contextmanager
def _entered(engine: FakeEngine) -> Iterator[FakeEngine]:
    yield engine


def _revision(commit: str) -> Revision:
    return Revision(commit * 40, "main", "Ann", "Say", SYSTEM.now().wall, "/srv/a.git")
