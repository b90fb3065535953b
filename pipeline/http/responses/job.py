"""A job, as the control API and `--json` show it."""

from __future__ import annotations

from typing import Self

from pydantic import Field

from pipeline.http.responses.body import Body, Timestamp
from pipeline.store.job_run import JobRun, JobState


class JobRunResponse(Body):
    """One run of a job."""

    number: int = Field(description="The run's number, counted per pipeline.")
    job: str = Field(description="The job's name.")
    release: int = Field(description="The release that it is of.")
    state: JobState = Field(description="Current state.")
    scheduled_for: Timestamp | None = Field(description="The time of the schedule; null if a command began it.")
    started_at: Timestamp = Field(description="Start of the run.")
    ended_at: Timestamp | None = Field(description="End of the run.")
    exit_code: int | None = Field(description="Exit code of its process; null if it is not known.")
    reason: str = Field(description="The reason of the outcome.")

    @classmethod
    def from_run(cls, run: JobRun) -> Self:
        """Return a run as it is shown."""
        return cls(
            number=run.number,
            job=run.job,
            release=run.release,
            state=run.state,
            scheduled_for=run.scheduled_for,
            started_at=run.started.wall,
            ended_at=run.ended_at,
            exit_code=run.exit_code,
            reason=run.reason,
        )


class JobResponse(Body):
    """A job of the active release."""

    name: str = Field(description="The job's name.")
    schedule: str = Field(description="Cron expression.")
    timezone: str | None = Field(description="Time zone of the schedule; null for local time.")
    next: Timestamp | None = Field(description="The next time of the schedule.")
    last_run: JobRunResponse | None = Field(description="The latest run.")
