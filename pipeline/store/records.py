"""Values of the rows in the database."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Literal

from pipeline.base.clock import SYSTEM, Stamp


class RunState(StrEnum):
    """The state of a run, or its outcome."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    ROLLED_BACK = "rolled_back"
    ROLLBACK_FAILED = "rollback_failed"
    CANCELLED = "cancelled"
    SUPERSEDED = "superseded"
    SKIPPED = "skipped"
    INTERRUPTED = "interrupted"

    @property
    def over(self) -> bool:
        """True for an outcome, which never changes."""
        return self not in (RunState.QUEUED, RunState.RUNNING)


# Each run ends with one event of these kinds.
LAST_EVENTS = frozenset({"run.finished", "run.superseded", "run.skipped", "run.cancelled"})


class RunKind(StrEnum):
    """The work of a run."""

    RUN = "run"
    ROLLBACK = "rollback"
    DOWN = "down"
    SCALE = "scale"
    RESTART = "restart"
    DRAIN = "drain"


MAX_REPLICAS = 500
"""The most replicas of a service."""


def is_scale(text: str) -> bool:
    """Return whether a text names a service and a number of replicas, such as `web=5`."""
    service, _, count = text.partition("=")
    is_number = count.isascii() and count.isdecimal() and len(count) <= len(str(MAX_REPLICAS))
    return bool(service) and is_number and 1 <= int(count) <= MAX_REPLICAS


class Trigger(StrEnum):
    """The origin of a run."""

    COMMAND = "command"
    WATCH = "watch"
    HOOK = "hook"
    POLL = "poll"
    WEBHOOK = "webhook"
    SCHEDULE = "schedule"
    RETRY = "retry"


class StageState(StrEnum):
    """The state of a stage, or its outcome."""

    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    INTERRUPTED = "interrupted"


class ReleaseState(StrEnum):
    """The state of a release.

    `active` receives traffic, `retired` did so earlier, `failed` never did. `pending` is not deployed yet.
    """

    PENDING = "pending"
    ACTIVE = "active"
    RETIRED = "retired"
    FAILED = "failed"


class DeploymentState(StrEnum):
    """The state of a deployment, or its outcome."""

    RUNNING = "running"
    SUCCEEDED = "succeeded"
    ROLLED_BACK = "rolled_back"
    FAILED = "failed"
    INTERRUPTED = "interrupted"


@dataclass(frozen=True)
class RunOptions:
    """The options of a run besides its commit.

    `configuration` names the pipeline.yaml of the run: the served `file`, or the one in the `commit`. A command that
    executes its run itself leaves it out and uses its own file. `parameters` override those of the pipeline.yaml.
    `force` runs even if no file under `source.paths` changed. `rebuild` builds and tests even if an image is cached.
    `pull` pulls the images that exist already, and `no_cache` builds without the builder's cache.
    """

    configuration: Literal["file", "commit"] | None = None
    parameters: Mapping[str, str] | None = None
    force: bool = False
    rebuild: bool = False
    pull: bool = False
    no_cache: bool = False

    @property
    def is_fresh(self) -> bool:
        """True if the run has a reason of its own, whether its commit changes something or not."""
        return self.force or self.rebuild or self.pull or self.no_cache

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> RunOptions:
        """Read the stored options. Unknown keys, written by a newer version, are ignored."""
        flags = (bool(data.get(name)) for name in ("force", "rebuild", "pull", "no_cache"))
        return cls(data.get("configuration"), data.get("parameters"), *flags)

    def to_json(self) -> dict[str, Any]:
        """Return the options in their stored form, which leaves out those that are not given."""
        data = {
            "configuration": self.configuration,
            "parameters": self.parameters,
            "force": self.force or None,
            "rebuild": self.rebuild or None,
            "pull": self.pull or None,
            "no_cache": self.no_cache or None,
        }
        return {key: value for key, value in data.items() if value is not None}


@dataclass(frozen=True)
class ApprovalDecision:
    """The answer to a run that waits for approval."""

    granted: bool
    by: str
    comment: str
    at: datetime


@dataclass(frozen=True)
class Run:
    """One execution of a pipeline, numbered per pipeline.

    `pid` is the latest process that executed it, 0 before the first. `started_at` is the time of queueing until the
    first process starts. `queued_at` is None for a run that a command executed itself, outside the queue. `queued` and
    `started` are these times to measure from. `took` is the duration of a finished run, or None if unknown. `waits_for`
    names what blocks the next stage. `superseded_by` is the newer run that replaces this one. `attempts` counts the
    starts. `by` is the user who requested it, None for a trigger. `cancelled_by` is the user who cancelled it.
    """

    pipeline: str
    number: int
    kind: RunKind
    state: RunState
    requested: str | None
    sha: str | None
    ref: str | None
    author: str | None
    subject: str | None
    release: int | None
    reason: str
    started_at: datetime
    finished_at: datetime | None
    pid: int
    trigger: Trigger
    queued_at: datetime | None
    options: RunOptions
    superseded_by: int | None
    retry_of: int | None
    attempts: int
    waits_for: str | None
    approval: ApprovalDecision | None
    image_id: str | None
    by: str | None = None
    cancelled_by: str | None = None
    queued: Stamp | None = None
    started: Stamp | None = None
    took: timedelta | None = None

    @property
    def duration(self) -> timedelta:
        """The time from start to end, or until now. Never negative."""
        return _duration(self)


@dataclass(frozen=True)
class StageRecord:
    """One stage of a run."""

    pipeline: str
    run: int
    name: str
    state: StageState
    summary: str
    started_at: datetime
    finished_at: datetime | None
    started: Stamp | None = None
    took: timedelta | None = None

    @property
    def duration(self) -> timedelta:
        """The time from start to end, or until now. Never negative."""
        return _duration(self)


@dataclass(frozen=True)
class Release:
    """An image with its configuration. `spec` is JSON of the Deploy stage."""

    pipeline: str
    number: int
    run: int
    sha: str
    subject: str
    image_id: str
    image_tag: str
    spec: str
    state: ReleaseState
    created_at: datetime


@dataclass(frozen=True)
class Deployment:
    """A move from one release to another, from which recovery starts after a crash.

    None stands for nothing deployed: `from_release` of the first deployment, `to_release` of `pipeline down`.
    `strategy` names how the traffic moves, empty if it does not or a previous version stored it.
    """

    id: int
    pipeline: str
    run: int
    from_release: int | None
    to_release: int | None
    state: DeploymentState
    reason: str
    started_at: datetime
    finished_at: datetime | None
    strategy: str = ""


def _duration(part: Run | StageRecord) -> timedelta:
    if part.took is not None:
        return part.took
    if part.finished_at is None:
        return SYSTEM.since(part.started or Stamp.from_wall(part.started_at))
    # A previous version stored it, or the machine has restarted meanwhile.
    return max(part.finished_at - part.started_at, timedelta(0))
