"""One run of a scheduled job."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from pipeline.base.clock import SYSTEM, Stamp


class JobState(StrEnum):
    """The state of a job's run, or its outcome.

    A `failed` one did not exit with 0, or could not start. A `timed_out` one ran longer than its job's timeout. The
    container of a `lost` one was removed, or never started, so its end is not known.
    """

    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    TIMED_OUT = "timed_out"
    CANCELLED = "cancelled"
    LOST = "lost"

    @property
    def over(self) -> bool:
        """True for an outcome, which never changes."""
        return self is not JobState.RUNNING


@dataclass(frozen=True)
class JobRun:
    """One run of a job, numbered per pipeline.

    `scheduled_for` is the time of the schedule, None for a run of a command. `exit_code` is that of its process, None
    if it is not known. `is_cancelled`: a user or `pipeline down` has requested its end. `cancelled_by` is the user.
    `timed_out` is the limit for which it was stopped, else None. `took` is None until the end.
    """

    pipeline: str
    number: int
    job: str
    release: int
    scheduled_for: datetime | None
    container: str
    state: JobState
    exit_code: int | None
    reason: str
    is_cancelled: bool
    cancelled_by: str | None
    timed_out: timedelta | None
    started: Stamp
    ended_at: datetime | None
    took: timedelta | None

    @property
    def duration(self) -> timedelta:
        """The time from start to end, or until now."""
        return SYSTEM.since(self.started) if self.took is None else self.took


@dataclass(frozen=True)
class JobSchedule:
    """The schedule of a job, and the time up to which each of its times was run or reported as skipped."""

    schedule: str
    timezone: str | None
    since: datetime
