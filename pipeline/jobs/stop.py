"""Stops the runs of jobs, and records the ends of those whose process was killed."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from datetime import timedelta

from pipeline.api import StageContext
from pipeline.base.errors import SystemFault
from pipeline.base.lock import holder
from pipeline.engine.interfaces import Engine
from pipeline.engine.labels import ROLE_JOB
from pipeline.jobs.execution import JobExecution, grace_of
from pipeline.store.job_run import JobRun

_POLL_INTERVAL = timedelta(milliseconds=200)
# For the process that follows a run, once its container has ended.
_RECORD_TIMEOUT = 30.0


def stop_run(context: StageContext, engine: Engine, run: JobRun) -> JobRun:
    """Cancel a run: SIGTERM, SIGKILL after its `stop_grace`. Returns it when its end is recorded.

    Raises `SystemFault` if the process that follows it does not record the end.
    """
    runs, clock = context.store.job_runs, context.clock
    runs.request_cancel(run.pipeline, run.number, context.events.by)
    deadline = clock.monotonic() + _RECORD_TIMEOUT
    while (current := runs.get(run.pipeline, run.number)) is not None and not current.state.over:
        found = engine.containers.find(run.container)
        if found is not None and found.is_running:
            engine.containers.stop(found.id, grace_of(found))
            deadline = clock.monotonic() + _RECORD_TIMEOUT
        if execution := JobExecution.adopt(context, current):
            execution.execute()
        elif clock.monotonic() > deadline:
            process = holder(context.home.lock(run.container))
            who = f"pid {process.pid}" if process else "another process"
            raise SystemFault(f"{who} follows run {run.number} of {run.job} and does not record its end")
        else:
            clock.wait(threading.Event(), _POLL_INTERVAL)
    return current or run


def stop_all(context: StageContext, engine: Engine) -> Sequence[JobRun]:
    """Cancel all runs of a pipeline, and forget its schedules. Returns the runs."""
    pipeline = context.configuration.pipeline.name
    runs = [stop_run(context, engine, run) for run in context.store.job_runs.running(pipeline)]
    remove_leftovers(context, engine)
    context.store.job_runs.forget_schedules(pipeline)
    return runs


def record_ended(context: StageContext) -> None:
    """Record the ends of runs whose process was killed. Those whose container still runs are left alone."""
    for run in context.store.job_runs.running(context.configuration.pipeline.name):
        if execution := JobExecution.adopt(context, run):
            execution.execute(only_ended=True)


def remove_leftovers(context: StageContext, engine: Engine) -> None:
    """Remove the containers of runs that are over: their process was killed just before it would have."""
    pipeline = context.configuration.pipeline.name
    found = engine.containers.for_pipeline(pipeline, ROLE_JOB)
    # Read after the list, so that the run of each container in it is known.
    running = {run.container for run in context.store.job_runs.running(pipeline)}
    for container in found:
        if container.name not in running:
            engine.containers.remove(container.id)
            context.home.lock(container.name).unlink(missing_ok=True)
