"""What users do with jobs: run one now, and cancel its run."""

from __future__ import annotations

from pipeline.api import StageContext
from pipeline.base.errors import ConfigError
from pipeline.base.suggestion import did_you_mean
from pipeline.jobs.execution import JobExecution
from pipeline.jobs.job import find_job
from pipeline.store.job_run import JobRun
from pipeline.store.services import job_names
from pipeline.store.store import Store


def begin_now(context: StageContext, name: str) -> JobExecution:
    """Return a new run of a job of the active release, which is on disk. Raises `ConfigError` if it cannot run now."""
    pipeline = context.configuration.pipeline.name
    execution = JobExecution.begin(context, find_job(context.store, pipeline, name))
    if execution is not None:
        return execution
    running = [run for run in context.store.job_runs.running(pipeline) if run.job == name]
    if not running:
        raise ConfigError(f"{name} cannot run now: a deployment or a `pipeline down` has just changed the release")
    run = running[0]
    raise ConfigError(
        f"{name} runs already: run {run.number}, since {run.started.wall.astimezone():%Y-%m-%d %H:%M:%S}",
        hint=f"`pipeline job logs {name} -f` follows it, `pipeline job cancel {name}` stops it",
    )


def running_run(store: Store, pipeline: str, name: str) -> JobRun:
    """Return the run of a job that has not ended. Raises `ConfigError` if there is none."""
    check_job(store, pipeline, name)
    running = [run for run in store.job_runs.running(pipeline) if run.job == name]
    if not running:
        raise ConfigError(f"{name} does not run", hint="`pipeline job list` shows its last run and its next time")
    return running[0]


def check_job(store: Store, pipeline: str, name: str) -> None:
    """Raise `ConfigError` for a name that is no job of the active release, and of which no run is kept."""
    active = store.releases.active(pipeline)
    known = {*(job_names(active.spec) if active else ()), *store.job_runs.last_of_each(pipeline)}
    if name not in known:
        raise ConfigError(f"{pipeline} has no job {name}", hint=did_you_mean(name, known) or None)
