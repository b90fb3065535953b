"""What the store keeps, as the rest of the program sees it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any


class RunState(StrEnum):
    """How a run stands, or how it ended."""

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
        """Nothing more becomes of it."""
        return self not in (RunState.QUEUED, RunState.RUNNING)


# The kinds of events of which each run has one, as its last word.
LAST_EVENTS = frozenset({"run.finished", "run.superseded", "run.skipped", "run.cancelled"})


class RunKind(StrEnum):
    """What the run does."""

    RUN = "run"
    ROLLBACK = "rollback"
    DOWN = "down"


class Trigger(StrEnum):
    """What made the run."""

    COMMAND = "command"
    WATCH = "watch"
    HOOK = "hook"
    POLL = "poll"
    WEBHOOK = "webhook"
    SCHEDULE = "schedule"
    RETRY = "retry"


class StageState(StrEnum):
    """How a stage stands, or how it ended."""

    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    INTERRUPTED = "interrupted"


class ReleaseState(StrEnum):
    """Whether a release serves (`active`), served once (`retired`) or never came to it."""

    PENDING = "pending"
    ACTIVE = "active"
    RETIRED = "retired"
    FAILED = "failed"


class DeploymentState(StrEnum):
    """How the move from one release to another stands, or how it ended."""

    RUNNING = "running"
    SUCCEEDED = "succeeded"
    ROLLED_BACK = "rolled_back"
    FAILED = "failed"
    INTERRUPTED = "interrupted"


@dataclass(frozen=True)
class Approval:
    """What somebody decided about a run: whether it may be deployed, who said so, and why."""

    granted: bool
    by: str
    comment: str
    at: datetime


@dataclass(frozen=True)
class Run:
    """One execution of a pipeline, numbered per pipeline. `pid` is the process that works or worked on it.

    `started_at` is when it was queued as long as nobody works on it; `queued_at` is None where it never was in the
    queue: a command ran it itself. `waits_for` says what keeps it from its next stage. `superseded_by` is the newer
    run in whose favour it is given up; `attempts` counts how often somebody began to work on it.
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
    options: Mapping[str, Any]
    superseded_by: int | None
    retry_of: int | None
    attempts: int
    waits_for: str | None
    approval: Approval | None
    image_id: str | None

    @property
    def duration(self) -> timedelta:
        """How long it took, or has been going on."""
        return (self.finished_at or datetime.now(UTC)) - self.started_at


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

    @property
    def duration(self) -> timedelta:
        """How long it took, or has been going on."""
        return (self.finished_at or datetime.now(UTC)) - self.started_at


@dataclass(frozen=True)
class Release:
    """An image and its configuration. `spec` is JSON, written and read by the Deploy stage."""

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
    """A move between releases: the only thing a crash must not forget. None is: no release at all."""

    id: int
    pipeline: str
    run: int
    from_release: int | None
    to_release: int | None
    state: DeploymentState
    reason: str
    started_at: datetime
    finished_at: datetime | None
