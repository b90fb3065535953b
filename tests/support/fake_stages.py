"""Stages that a test holds, releases and lets fail. The only file of the tests that knows the interface of a stage."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace
from typing import IO

import pytest

from pipeline.api import Checkout, Image, Plan, PlanFact, Revision, StageContext, Wanted
from pipeline.base.errors import Cancelled, PenstockError, RolledBack, StageFailed
from pipeline.base.watch import Watch
from pipeline.config import stages
from pipeline.store.records import Deployment, DeploymentState, Release
from pipeline.store.store import Store
from tests.support.waiting import DEADLINE

_REF = "refs/heads/main"
# What a repair is held by, in place of a stage's name.
REPAIR = "repair"


@dataclass
class Hold:
    """A stage of a run that does not return before `release`. A `deaf` one does not heed a cancellation either."""

    deaf: bool = False
    entered: threading.Event = field(default_factory=threading.Event)
    released: threading.Event = field(default_factory=threading.Event)
    lock: threading.Lock = field(default_factory=threading.Lock)
    holding: int = 0

    def wait_until_entered(self) -> None:
        """Return when the stage is held. Raises `AssertionError` if it does not begin."""
        assert self.entered.wait(DEADLINE), "the stage does not begin"

    def release(self) -> None:
        """Let the stage continue."""
        self.released.set()

    def keep(self, cancelled: threading.Event, check_alive: Callable[[], object]) -> None:
        """Hold the calling thread. Raises `Cancelled`, or what `check_alive` raises."""
        with self.counting():
            self.entered.set()
            deadline = time.monotonic() + DEADLINE
            while not self.released.wait(0.002):
                check_alive()
                if cancelled.is_set() and not self.deaf:
                    raise Cancelled("cancelled")
                assert time.monotonic() < deadline, "a stage was never released"

    @contextmanager
    def counting(self) -> Iterator[None]:
        """Count the threads that are held: one of a dead process may leave after its successor has come."""
        with self.lock:
            self.holding += 1
        try:
            yield
        finally:
            with self.lock:
                self.holding -= 1


class FakeStages:
    """Source, Build and Deploy of every process of a test, and what they did.

    `commits` are those of the branch, oldest first. `passed` lists the stages
    that began with their runs, `deployed` the runs whose new release was put into service. `overlaps` lists what moved
    targets at the same time.
    """

    def __init__(self, check_alive: Callable[[Store], None]) -> None:
        self._check_alive = check_alive
        self._lock = threading.Lock()
        self._holds: dict[tuple[str, int], Hold] = {}
        self._errors: dict[tuple[str, int], list[BaseException]] = {}
        self._moving: list[str] = []
        self.commits: list[str] = []
        self.passed: list[tuple[str, int]] = []
        self.deployed: list[int] = []
        self.recovered: list[int] = []
        self.overlaps: list[tuple[str, ...]] = []
        self.findings: list[str] = []
        self.repaired = 0

    def install(self, monkeypatch: pytest.MonkeyPatch, deployer: type | None = None) -> None:
        """Put these stages in the place of those that are installed. A `deployer` is used instead of the fake one."""
        kinds = {"source.git": FakeSource, "build.docker": FakeBuild, "deploy.docker": FakeDeploy}

        def find(*, group: str, name: str) -> Sequence[SimpleNamespace]:
            assert group == stages.GROUP
            if name == "deploy.docker" and deployer:
                return [SimpleNamespace(load=lambda: deployer)]
            return [SimpleNamespace(load=lambda: lambda: kinds[name](self))]

        monkeypatch.setattr(stages, "entry_points", find)

    def hold(self, stage: str, run: int = 0, *, deaf: bool = False) -> Hold:
        """Hold a stage of a run, or a `REPAIR`."""
        hold = self._holds[stage, run] = Hold(deaf)
        return hold

    def fail(self, stage: str, run: int, *errors: BaseException) -> None:
        """Let a stage of a run raise these errors, one each time it is run."""
        self._errors[stage, run] = list(errors)

    def begin(self, stage: str, context: StageContext) -> None:
        """Note that a stage began. Hold it, and raise what the test asked for."""
        self._check_alive(context.store)
        with self._lock:
            self.passed.append((stage, context.run))
            hold, errors = self._holds.get((stage, context.run)), self._errors.get((stage, context.run))
        if hold:
            hold.keep(context.cancelled, lambda: self._check_alive(context.store))
        if errors:
            raise errors.pop(0)

    def repair(self, store: Store, cancelled: threading.Event) -> None:
        """Remove what was found. Raises `Cancelled`."""
        with self.moving(REPAIR):
            if hold := self._holds.get((REPAIR, 0)):
                hold.keep(cancelled, lambda: self._check_alive(store))
            if cancelled.is_set():
                raise Cancelled("gives way")
            self.findings, self.repaired = [], self.repaired + 1

    @contextmanager
    def moving(self, what: str) -> Iterator[None]:
        """Note that `what` moves targets, and every other that does so at the same time."""
        with self._lock:
            self._moving.append(what)
            if len(self._moving) > 1:
                self.overlaps.append(tuple(self._moving))
        try:
            yield
        finally:
            with self._lock:
                self._moving.remove(what)


@dataclass
class FakeStage:
    """A stage that does what `FakeStages` says."""

    fakes: FakeStages


@dataclass(frozen=True)
class FakeCheckout:
    """A commit without files."""

    revision: Revision

    def tree(self, path: str) -> str:
        """Return the commit, which stands for its tree."""
        return self.revision.sha

    def archive(self, path: str) -> AbstractContextManager[IO[bytes]]:
        """Return an empty stream."""
        return nullcontext(BytesIO())

    def read(self, path: str) -> bytes | None:
        """Return None."""
        return None


class FakeSource(FakeStage):
    """A Source whose branch holds the commits that the test gives."""

    name = "source"

    def find(self, context: StageContext, wanted: Wanted) -> Checkout:
        """Find the commit of the run."""
        self.fakes.begin(self.name, context)
        revision = _revision(wanted.sha or wanted.requested or "head")
        context.report(f"found {revision.sha}")
        return FakeCheckout(revision)

    def plan(self, context: StageContext, wanted: Wanted) -> Plan[Checkout]:
        """Return the commit, and no steps."""
        return Plan([], FakeCheckout(_revision(wanted.sha or wanted.requested or "head")))

    def patterns(self, context: StageContext) -> list[str]:
        """Return the branch."""
        return [_REF]

    def heads(self, context: StageContext, patterns: Sequence[str]) -> dict[str, str]:
        """Return the latest commit."""
        return {_REF: self.fakes.commits[-1]} if self.fakes.commits else {}

    def commits(self, context: StageContext, old: str | None, new: str) -> list[Revision]:
        """Return the commits after `old`, up to `new`."""
        known = self.fakes.commits
        first = known.index(old) + 1 if old else known.index(new)
        return [_revision(sha) for sha in known[first : known.index(new) + 1]]

    def gained(self, context: StageContext, old: str, new: str) -> list[Revision] | None:
        """Return the commits of the branch after `old`, up to `new`, newest first."""
        known = self.fakes.commits
        if old not in known or new not in known:
            return None
        return [_revision(sha) for sha in reversed(known[known.index(old) + 1 : known.index(new) + 1])]

    def pipeline_file(self, context: StageContext, wanted: Wanted) -> None:
        """Return nothing: the served file counts."""

    def git_directory(self, context: StageContext) -> Path | None:
        """Return None: the repository is elsewhere."""
        return None

    def watch(self, context: StageContext, moved: Callable[[], None]) -> AbstractContextManager[Watch]:
        """Watch nothing."""
        return nullcontext(Watch((), lambda _: False))


class FakeBuild(FakeStage):
    """A Build whose image is named after the commit."""

    name = "build"

    def build(self, context: StageContext, checkout: Checkout) -> Image:
        """Build an image."""
        self.fakes.begin(self.name, context)
        context.report("built")
        return Image(f"sha256:{checkout.revision.sha}", "shop:latest")

    def plan(self, context: StageContext, checkout: Checkout) -> Plan[Image | None]:
        """Return no steps and no image."""
        return Plan([], None)


class FakeDeploy(FakeStage):
    """A Deploy with the rows of a real one: a release, and a deployment that a dead process leaves open."""

    name = "deploy"

    def preflight(self, context: StageContext) -> None:
        """Accept every configuration."""

    def is_current(self, context: StageContext) -> bool:
        """Return True."""
        return True

    def deploy(self, context: StageContext, revision: Revision, image: Image) -> Release:
        """Put the image into service."""
        with self.fakes.moving(f"run {context.run}"):
            release = context.store.releases.create(
                context.configuration.pipeline.name,
                context.run,
                sha=revision.sha,
                subject="",
                image_id=image.id,
                image_tag=image.tag,
                spec="{}",
            )
            self._move(context, release.number)
            self.fakes.deployed.append(context.run)
        context.report("deployed")
        return release

    def plan(self, context: StageContext, revision: Revision, image: Image | None) -> list[str]:
        """Return no steps."""
        return []

    def rollback(self, context: StageContext, release: Release) -> None:
        """Put a release back."""
        with self.fakes.moving(f"rollback {context.run}"):
            self._move(context, release.number)
        context.report("rolled back")

    def plan_rollback(self, context: StageContext, release: Release) -> list[str]:
        """Return one step and one fact."""
        return [f"put release {release.number} back", PlanFact("healthy targets: all")]

    def down(self, context: StageContext) -> None:
        """Take the release out of service."""
        with self.fakes.moving(f"down {context.run}"):
            self._move(context, None)
        context.report("down")

    def recover(self, context: StageContext, deployment: Deployment) -> str:
        """Close the deployment that a dead process left open."""
        with self.fakes.moving(f"recovery of run {deployment.run}"):
            self.fakes.begin("recover", context)
            context.store.deployments.finish(deployment, DeploymentState.INTERRUPTED)
            self.fakes.recovered.append(deployment.run)
        return "the last good release serves"

    def drift(self, context: StageContext) -> FakeDrift:
        """Return what finds and repairs what the test breaks."""
        return FakeDrift(self.fakes, context.store)

    def _move(self, context: StageContext, to: int | None) -> None:
        store, name = context.store, context.configuration.pipeline.name
        active = store.releases.active(name)
        deployment = store.deployments.begin(name, context.run, active.number if active else None, to)
        try:
            self.fakes.begin(self.name, context)
        except PenstockError as error:
            went_back = isinstance(error, RolledBack | Cancelled) or not isinstance(error, StageFailed)
            state = DeploymentState.ROLLED_BACK if went_back else DeploymentState.FAILED
            store.deployments.finish(deployment, state, error.message)
            raise
        store.deployments.finish(deployment, DeploymentState.SUCCEEDED)


@dataclass
class FakeDrift:
    """The differences that a test makes."""

    fakes: FakeStages
    store: Store

    def findings(self) -> list[str]:
        """Return the differences."""
        return list(self.fakes.findings)

    def exited(self, replica: str, exit_code: int) -> None:
        """Do nothing: `findings` sees it."""

    def lost(self) -> tuple[str, ...]:
        """Return no host."""
        return ()

    def is_stable(self) -> bool:
        """Return False, so that a change is found within a second."""
        return False

    def repair(self, cancelled: threading.Event) -> None:
        """Remove them."""
        self.fakes.repair(self.store, cancelled)

    def close(self) -> None:
        """Hold nothing."""


def _revision(sha: str) -> Revision:
    return Revision(sha, "main", "Ann", f"Say {sha}", datetime(2030, 1, 1, tzinfo=UTC), "here", f"Say {sha}")
