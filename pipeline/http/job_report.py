"""The jobs of a pipeline as commands and the control API show them."""

from __future__ import annotations

from datetime import UTC, datetime

from pipeline.base.errors import ConfigError
from pipeline.http.responses.job import JobResponse, JobRunResponse
from pipeline.jobs.by_command import check_job
from pipeline.jobs.decision import next_time
from pipeline.jobs.job import Job, jobs_of
from pipeline.store.store import Store


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


def job_runs(store: Store, pipeline: str, job: str | None, count: int) -> list[JobRunResponse]:
    """Return the latest runs of jobs, newest first. Raises `ConfigError` for a job that is not known."""
    if job is not None:
        check_job(store, pipeline, job)
    return [JobRunResponse.from_run(run) for run in store.job_runs.latest(pipeline, job, count)]


def _next(store: Store, job: Job) -> datetime | None:
    now = datetime.now(UTC)
    stored = store.job_runs.schedule(job.pipeline, job.name)
    is_current = stored is not None and stored == job.handled(stored.since)
    try:
        return next_time(job.schedule(stored.since if stored and is_current else now), now)
    except ConfigError:
        # This machine does not have the time zone.
        return None
