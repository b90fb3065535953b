"""The jobs of a pipeline as commands and the control API show them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Self

from pydantic import Field

from pipeline.base.errors import ConfigError
from pipeline.http.responses import Body, Timestamp
from pipeline.jobs.decision import next_time
from pipeline.jobs.job import Job, jobs_of
from pipeline.store.job_run import JobRun, JobState
from pipeline.store.store import Store


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


def job_responses(store: Store, pipeline: str) -> list[JobResponse]:
    """Return the jobs of the active release, in the order of pipeline.yaml."""
    jobs = jobs_of(store.releases.active(pipeline))
    runs = store.job_runs.last_of_each(pipeline) if jobs else {}
    return [
        JobResponse(
            name=name,
            schedule=job.spec.settings.schedule or "",
            timezone=job.spec.settings.timezone,
            next=_next(store, job),
            last_run=JobRunResponse.from_run(runs[name]) if name in runs else None,
        )
        for name, job in jobs.items()
    ]


def _next(store: Store, job: Job) -> datetime | None:
    now = datetime.now(UTC)
    stored = store.job_runs.schedule(job.pipeline, job.name)
    is_current = stored is not None and stored == job.handled(stored.since)
    try:
        return next_time(job.schedule(stored.since if stored and is_current else now), now)
    except ConfigError:
        # This machine does not have the time zone.
        return None
