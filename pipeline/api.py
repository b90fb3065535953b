"""The interface between the runner and the stages.

Besides this, stages import `pipeline.engine`, `pipeline.balancer`, `pipeline.jobs`, `pipeline.accessories`, and the
modules below them; never the command line, the runner, or one another.

A stage is a class found through the entry-point group `pipeline.stages`, as `source.NAME`, `build.NAME` or
`deploy.NAME`. The key `uses` of its section in pipeline.yaml names it. `Source.find` gives a `Checkout`,
`Builder.build` makes an `Image` of it, `Deployer.deploy` puts that into service as a `Release`. A stage reports one
line by `context.report`. It raises `StageFailed` when the user's code is at fault, a `SystemFault` when Penstock or the
machine is, and `Cancelled` when it was asked to stop. It leaves nothing behind that it started and did not hand over.

The runner makes a new object whenever it needs one. In a run it calls `pipeline_file` and `find` on one object. A class
may have two attributes:

- `Options`, a subclass of `StageOptions`: its fields are the keys of `with`. The class is called with the validated
  options, and without arguments if it has no `Options`.
- `section_keys`, a set: the other keys of the section that the stage reads from `context.configuration`. A key that it
  does not read is an error in pipeline.yaml.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import IO, Generic, Protocol, TypeVar

from pipeline.base.clock import Clock, SystemClock
from pipeline.base.errors import Cancelled
from pipeline.base.home import Home
from pipeline.base.printable import escape_line
from pipeline.base.watch import Watch
from pipeline.config.load import CommittedFile, Configuration
from pipeline.config.stages import StageOptions as StageOptions
from pipeline.events import Events
from pipeline.store.records import Deployment, Release, RunOptions
from pipeline.store.store import Store


@dataclass(frozen=True)
class Revision:
    """A commit as Source found it. Control characters in `author` and `subject`, which are shown, are escaped."""

    sha: str
    ref: str
    author: str
    subject: str
    committed_at: datetime
    source: str
    message: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "author", escape_line(self.author))
        object.__setattr__(self, "subject", escape_line(self.subject))

    @property
    def short(self) -> str:
        """The first seven digits, as git shows them."""
        return self.sha[:7]


@dataclass(frozen=True)
class Wanted:
    """The commit that a run is for.

    `requested` is the branch, tag or commit asked for. `sha` is the commit itself if it is known already, and `ref`
    the ref that led to it. `force` runs it even if it changes nothing.
    """

    requested: str | None = None
    sha: str | None = None
    ref: str | None = None
    force: bool = False


class Checkout(Protocol):
    """A commit and its files, independent of the user's working tree."""

    revision: Revision

    def tree(self, path: str) -> str:
        """Return the git tree id of a folder of the commit (`.` is the root). Raises `ConfigError` if there is none."""

    def archive(self, path: str, ignored: Callable[[str], bool]) -> AbstractContextManager[IO[bytes]]:
        """Return an uncompressed tar stream of that folder, names relative to it. Not seekable.

        Content that the repository only refers to is fetched, unless `ignored` is true for its name. A name with a
        slash at its end stands for a folder and all that may be in it.
        """

    def read(self, path: str) -> bytes | None:
        """Return one file of the commit, or None if it has none of that name. Links are followed in the repository."""


@dataclass(frozen=True)
class NothingToDo:
    """A commit that needs no run, with the reason."""

    revision: Revision
    reason: str


@dataclass(frozen=True)
class Image:
    """A built and tested image. `id` is the content digest that containers are started from; `tag` is for people."""

    id: str
    tag: str


class PlanFact(str):
    """A line of a plan that is no step, such as the lowest number of healthy targets."""

    __slots__ = ()


Made = TypeVar("Made", covariant=True)


@dataclass(frozen=True)
class Plan(Generic[Made]):
    """The steps that a stage would take, one line each, and what of its result exists already."""

    steps: list[str]
    made: Made


class RunLog(Protocol):
    """The run's log: every line that a stage's tools print, kept on disk."""

    def line(self, stage: str, text: str) -> None:
        """Keep one line, secrets masked. Safe to call from any thread."""


def _ignore(_: str) -> None:
    """Drop the report of a stage that runs outside of any run."""


@dataclass(frozen=True)
class StageContext:
    """Everything a stage may use, and nothing that another stage made.

    `report` sets the line that the stage's row and its event show when the stage has succeeded. `options` are those of
    the run.
    """

    home: Home
    configuration: Configuration
    run: int
    store: Store
    events: Events
    log: RunLog
    cancelled: threading.Event = field(default_factory=threading.Event)
    clock: Clock = field(default_factory=SystemClock)
    report: Callable[[str], None] = _ignore
    options: RunOptions = field(default_factory=RunOptions)

    def check_cancelled(self) -> None:
        """Raise `Cancelled` when the user asked to stop. Stages call this wherever they wait."""
        if self.cancelled.is_set():
            raise Cancelled("cancelled")


class Source(Protocol):
    """The stage that knows the commits and their refs."""

    def find(self, context: StageContext, wanted: Wanted) -> Checkout | NothingToDo:
        """Return the commit and its files, or why it needs no run."""

    def pipeline_file(self, context: StageContext, wanted: Wanted) -> CommittedFile | None:
        """Return the pipeline.yaml of the commit, or None if it has none.

        `find` of the same object returns the same commit, also if the ref has moved in between.
        """

    def plan(self, context: StageContext, wanted: Wanted) -> Plan[Checkout]:
        """Return what `find` would do, and the commit. Changes nothing."""

    def patterns(self, context: StageContext) -> list[str]:
        """Return the refs that `triggers` means, as globs of full names."""

    def heads(self, context: StageContext, patterns: Sequence[str]) -> dict[str, str]:
        """Return the commit of every ref that matches a pattern, by the ref's full name. Raises as `find` does."""

    def commits(self, context: StageContext, old: str | None, new: str) -> list[Revision]:
        """Return the commits a ref gained by moving from one commit to another, oldest first, ending with `new`.

        Along the first parents: the commits of a merged branch arrived on another ref before. Only `new` if `old` is
        None or unknown; at most the latest thousand.
        """

    def gained(self, context: StageContext, old: str, new: str) -> list[Revision] | None:
        """Return the commits that `new` has and `old` has not, along the first parents, newest first.

        At most the latest thousand. None if that is not known, such as for commits that are gone. Changes nothing, and
        asks no other machine. A stage of another package may leave this method out.
        """

    def git_directory(self, context: StageContext) -> Path | None:
        """Return the repository's common git directory, or None if the repository is not on this machine."""

    def watch(self, context: StageContext, moved: Callable[[], None]) -> AbstractContextManager[Watch]:
        """Call `moved` soon after a ref of the repository may have moved, as long as the context is entered.

        If the repository is replaced at its path, the watch is no longer intact and reports nothing more. Raises
        `SystemFault` if the machine has no more watches to give.
        """


class Builder(Protocol):
    """The stage that makes images."""

    def build(self, context: StageContext, checkout: Checkout) -> Image:
        """Return an image that was built from exactly these files and passed its tests."""

    def plan(self, context: StageContext, checkout: Checkout) -> Plan[Image | None]:
        """Return what `build` would do, and the image if it exists already. Changes nothing."""


class Drift(Protocol):
    """Keeps a pipeline's release in service while no deployment runs."""

    def findings(self) -> list[str]:
        """Return one line for each difference from the active release. Cheap enough to call every second."""

    def exited(self, replica: str, exit_code: int) -> None:
        """Take over that the engine reports the exit of a replica, which `findings` may see some time later.

        The stage itself may have stopped it, or it may be unknown.
        """

    def is_stable(self) -> bool:
        """Return whether the last findings stay the same until the engine or the balancer reports a change.

        `findings` is then called after such a report and once a minute, otherwise each second. False is always right.
        """

    def lost(self) -> Collection[str]:
        """Return the hosts that do not answer, whose replicas the last findings lack. Without hosts, there are none.

        A report that one of them answers again is a change.
        """

    def repair(self, cancelled: threading.Event) -> None:
        """Repair the differences, as far as `rolling` allows. May be stopped at any time. Raises as a deployment."""

    def close(self) -> None:
        """Close its connections."""


class Deployer(Protocol):
    """The stage that puts releases into service and takes them out."""

    def preflight(self, context: StageContext) -> None:
        """Raise the errors that would stop a deployment later: a port in use, no Docker. Changes nothing."""

    def is_current(self, context: StageContext) -> bool:
        """Return whether the active release has the current configuration, whatever its commit."""

    def deploy(self, context: StageContext, revision: Revision, image: Image) -> Release:
        """Return the release that is in service now. If it raises, the previous one is back in place.

        `Release.spec` is a `ReleaseSpec`. From it the runner knows which stage deployed the release.

        Raises `RolledBack`, `RollbackFailed` if the previous release did not come back either, and what any stage may.
        """

    def plan(self, context: StageContext, revision: Revision, image: Image | None) -> list[str]:
        """Return what `deploy` would do. `image` is None if it is not built yet. Changes nothing."""

    def rollback(self, context: StageContext, release: Release) -> None:
        """Roll back to an earlier release."""

    def plan_rollback(self, context: StageContext, release: Release) -> list[str]:
        """Return what `rollback` would do. Raises what it would raise at once. Changes nothing.

        A stage of another package may leave this method out.
        """

    def scale(self, context: StageContext, service: str, replicas: int) -> None:
        """Change the number of replicas of a service of the active release, until pipeline.yaml changes it."""

    def restart(self, context: StageContext, service: str | None) -> None:
        """Replace the replicas of a service of the active release by new ones, or those of all services."""

    def drain(self, context: StageContext, host: str) -> None:
        """Move the replicas of a host to others, and let it take none. A failure leaves those that have not moved."""

    def down(self, context: StageContext) -> None:
        """Drain and remove everything of the pipeline."""

    def recover(self, context: StageContext, deployment: Deployment) -> str:
        """Restore the last good release after a crash, and return what was done."""

    def drift(self, context: StageContext) -> Drift:
        """Return what finds and repairs differences from the active release."""
