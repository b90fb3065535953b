"""What the store keeps, as the rest of the program sees it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum


class RunState(StrEnum):
    """How a run stands, or how it ended."""

    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    ROLLED_BACK = "rolled_back"
    ROLLBACK_FAILED = "rollback_failed"
    CANCELLED = "cancelled"
    INTERRUPTED = "interrupted"


class RunKind(StrEnum):
    """What asked for the run."""

    RUN = "run"
    ROLLBACK = "rollback"
    DOWN = "down"


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
class Run:
    """One execution of a pipeline, numbered per pipeline. `pid` is the process that works or worked on it."""

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
