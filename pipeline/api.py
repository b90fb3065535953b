"""What a stage sees of the runner. Besides this, stages import `pipeline.engine`, `pipeline.balancer`, and the small
modules below them; never the command line, the runs, or one another.

A stage is a class found through the entry-point group `pipeline.stages`. The runner makes one object of it per
run and calls `run` once, in the order Source, Build, Deploy. It returns an `Outcome`, or raises: `StageFailed`
when the user's code is at fault, a `SystemFault` when we are, `Cancelled` when it was asked to stop.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import IO, Protocol

from pipeline.base.clock import Clock, SystemClock
from pipeline.base.errors import Cancelled
from pipeline.base.home import Home
from pipeline.config.load import CommittedFile, Configuration
from pipeline.events import Events
from pipeline.store.records import Deployment, Release
from pipeline.store.store import Store


@dataclass(frozen=True)
class Revision:
    """A commit as Source found it."""

    sha: str
    ref: str
    author: str
    subject: str
    committed_at: datetime
    source: str
    message: str = ""

    @property
    def short(self) -> str:
        """The first seven digits, as git shows them."""
        return self.sha[:7]


class Snapshot(Protocol):
    """The files of one commit, whatever the user's checkout looks like by now."""

    revision: Revision

    def tree(self, path: str) -> str:
        """The git tree id of a folder of the commit (`.` is the root). Raises `ConfigError` when it is none."""

    def archive(self, path: str) -> AbstractContextManager[IO[bytes]]:
        """An uncompressed tar stream of that folder, names relative to it. Not seekable."""

    def read(self, path: str) -> bytes | None:
        """One file of the commit, or None when there is none of that name."""


@dataclass(frozen=True)
class Image:
    """What Build made. `id` is the content digest that containers are started from; `tag` is for people."""

    id: str
    tag: str


@dataclass
class Work:
    """What the run has made so far; each stage adds its part."""

    revision: Revision | None = None
    snapshot: Snapshot | None = None
    image: Image | None = None


class RunLog(Protocol):
    """The run's log: every line that a stage's tools print, kept on disk."""

    def line(self, stage: str, text: str) -> None:
        """Keep one line, secrets masked. Safe to call from any thread."""


@dataclass(frozen=True)
class StageContext:
    """Everything a stage may use.

    `requested` is the branch, tag or commit asked for; `sha` the commit itself where it is known already, that `ref`
    led to. `force` is the wish to run even where nothing changed.
    """

    home: Home
    configuration: Configuration
    run: int
    store: Store
    events: Events
    log: RunLog
    requested: str | None = None
    sha: str | None = None
    ref: str | None = None
    force: bool = False
    work: Work = field(default_factory=Work)
    cancelled: threading.Event = field(default_factory=threading.Event)
    clock: Clock = field(default_factory=SystemClock)

    def check_cancelled(self) -> None:
        """Raise `Cancelled` when the user asked to stop. Stages call this wherever they wait."""
        if self.cancelled.is_set():
            raise Cancelled("cancelled")


@dataclass(frozen=True)
class Outcome:
    """A stage that did its work. `summary` is one line for people; `go_on` False ends the run: nothing to do."""

    summary: str
    go_on: bool = True


class Stage(Protocol):
    """The life-cycle of a stage: made once per run, `run` called once."""

    name: str

    def run(self, context: StageContext) -> Outcome:
        """Do the stage's work. Must leave nothing behind that it started and did not hand over."""

    def plan(self, context: StageContext) -> list[str]:
        """Say what `run` would do, one line a step, and change nothing but `context.work`."""


class SourceStage(Stage, Protocol):
    """The stage that knows where commits come from, and what is new there."""

    def patterns(self, context: StageContext) -> list[str]:
        """What `triggers` means: globs of full names of refs."""

    def heads(self, context: StageContext, patterns: Sequence[str]) -> dict[str, str]:
        """The commit of every ref that a pattern means, by the ref's full name. Raises as `run` does."""

    def commits(self, context: StageContext, old: str | None, new: str) -> list[Revision]:
        """What a ref got by moving from one commit to another, oldest first; the last is `new`.

        Along the first parents: what a merge brought in was somewhere else before. Only `new` where `old` is None, or
        not known any more; at most the latest thousand.
        """

    def pipeline_file(self, context: StageContext) -> CommittedFile | None:
        """The pipeline.yaml of the run's commit; None where it has none."""

    def git_directory(self, context: StageContext) -> Path | None:
        """Where the repository is on this machine, its worktrees' common directory; None where it is elsewhere."""

    def watch(self, context: StageContext, moved: Callable[[], None]) -> AbstractContextManager[None]:
        """Call `moved` soon after a ref of the repository may have moved, as long as the context is entered.

        Raises `SystemFault` where the machine has no more watches to give.
        """


class Drift(Protocol):
    """What keeps a pipeline's release in service while nobody deploys."""

    def findings(self) -> list[str]:
        """What is not as it should be, in words; nothing when all is well. Made to be asked every second."""

    def repair(self, cancelled: threading.Event) -> None:
        """Put it right, as far as `rolling` allows. May be stopped at any time. Raises as a deployment does."""

    def close(self) -> None:
        """Let go of what it holds."""


class Deployer(Stage, Protocol):
    """The stage that puts releases into service, and alone knows how to take them out."""

    def preflight(self, context: StageContext) -> None:
        """Raise now what would stop a deployment later: a taken port, no Docker. Changes nothing."""

    def is_current(self, context: StageContext) -> bool:
        """Whether what serves has the configuration of today, whatever its commit."""

    def rollback(self, context: StageContext, release: Release) -> Outcome:
        """Put a former release back into service."""

    def down(self, context: StageContext) -> Outcome:
        """Drain and remove everything of the pipeline."""

    def recover(self, context: StageContext, deployment: Deployment) -> str:
        """Bring the target group back to the last good release after a crash; says what was done."""

    def drift(self, context: StageContext) -> Drift:
        """What looks after the release that serves."""
