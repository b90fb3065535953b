"""The scheduled jobs of one pipeline: starts runs by the clock, and adopts those that a killed process has left."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import datetime, timedelta

import structlog

from pipeline.api import StageContext
from pipeline.base.clock import Clock
from pipeline.base.errors import ConfigError, EngineFault, PenstockError
from pipeline.base.lock import is_held
from pipeline.event_kinds import EventKind
from pipeline.jobs.by_command import begin_now
from pipeline.jobs.decision import Decision, Skipped, decide, next_time
from pipeline.jobs.execution import JobExecution
from pipeline.jobs.job import Job, jobs_of
from pipeline.jobs.stop import remove_leftovers
from pipeline.runner.context import PipelineContext
from pipeline.store.job_run import JobRun

# The schedules are checked at least this often, because the wall clock may jump, and another process may deploy.
_MAX_WAIT = timedelta(seconds=20)
# Without it, a wait that ends slightly early would repeat many times before the due time.
_MIN_WAIT = timedelta(milliseconds=10)
# After a run could not begin because of a deployment that ends now.
_RETRY = timedelta(seconds=1)
# In seconds. A thread that detaches looks at its container once more.
_DETACH_TIMEOUT = 5.0
_logger = structlog.get_logger(__name__)


class JobLoop:
    """Runs the jobs of one pipeline. One thread at a time calls `step`. `close` leaves the containers running."""

    def __init__(self, pipeline_context: Callable[[], PipelineContext], clock: Clock) -> None:
        self._pipeline_context = pipeline_context
        self._clock = clock
        self._followed: dict[int, tuple[JobExecution, threading.Thread]] = {}
        self._lock = threading.Lock()
        self._is_first = True
        self._is_tidy = False
        self._reported: set[str] = set()

    def step(self) -> timedelta:
        """Start what is due, and return the time until the next call."""
        pipeline_context = self._pipeline_context()
        context, pipeline = pipeline_context.stage_context(), pipeline_context.pipeline
        self._adopt_abandoned(context, pipeline)
        jobs = jobs_of(context.store.releases.active(pipeline))
        waits = [self._step_job(context, job) for job in jobs.values()]
        self._is_first = False
        return max(_MIN_WAIT, min((_MAX_WAIT, *waits)))

    def run_now(self, name: str, by: str | None) -> JobRun:
        """Begin a run of a job for a user, and return it. Raises `ConfigError` if it cannot run now.

        Safe to call from any thread.
        """
        pipeline_context = self._pipeline_context()
        execution = begin_now(pipeline_context.stage_context(pipeline_context.events(by=by)), name)
        self._follow(execution)
        return execution.run

    def close(self) -> None:
        """Stop following the runs. Their containers run on, and the next process adopts them. No step may run."""
        with self._lock:
            followed = list(self._followed.values())
        for execution, _ in followed:
            execution.detach()
        for _, thread in followed:
            thread.join(_DETACH_TIMEOUT)

    def _step_job(self, context: StageContext, job: Job) -> timedelta:
        now = self._clock.now().wall
        try:
            schedule = job.schedule(self._handled_since(context, job, now))
        except ConfigError as error:
            self._report_once(context, job, error.message)
            return _MAX_WAIT
        running = any(run.job == job.name for run in context.store.job_runs.running(job.pipeline))
        decision = decide(schedule, now, is_running=running, was_stopped=self._is_first)
        if decision.skipped:
            _emit_skipped(context, job, decision.skipped)
        if decision.due:
            if not self._begin(context, job, decision):
                return _RETRY
        elif decision.skipped or decision.since < schedule.since:
            context.store.job_runs.set_schedule(job.pipeline, job.name, job.handled(decision.since))
        due = next_time(job.schedule(decision.since), now)
        return due - now if due else _MAX_WAIT

    def _handled_since(self, context: StageContext, job: Job, now: datetime) -> datetime:
        """Return up to when the times of a job are handled. A new or changed schedule begins with its release."""
        runs = context.store.job_runs
        stored = runs.schedule(job.pipeline, job.name)
        if stored is None or stored != job.handled(stored.since):
            began = runs.active_since(job.pipeline, job.release)
            stored = job.handled(min(began, now) if began else now)
            runs.set_schedule(job.pipeline, job.name, stored)
        return stored.since

    def _begin(self, context: StageContext, job: Job, decision: Decision) -> bool:
        execution = JobExecution.begin(context, job, decision.due, job.handled(decision.since))
        if execution is not None:
            self._follow(execution)
        return execution is not None

    def _adopt_abandoned(self, context: StageContext, pipeline: str) -> None:
        """Follow the runs that no process follows any more, and remove containers of runs that are over."""
        for run in context.store.job_runs.running(pipeline):
            with self._lock:
                is_followed = run.number in self._followed
            if is_followed or is_held(context.home.lock(run.container)):
                continue
            if execution := JobExecution.adopt(context, run):
                self._follow(execution)
        if not self._is_tidy:
            self._remove_leftovers(context)

    def _remove_leftovers(self, context: StageContext) -> None:
        from pipeline.engine.hosts import local_engine

        # A pipeline that never had a job needs no request to the engine.
        if not context.store.job_runs.latest(context.configuration.pipeline.name, limit=1):
            self._is_tidy = True
            return
        try:
            with local_engine(context.home.id) as engine:
                remove_leftovers(context, engine)
            self._is_tidy = True
        except EngineFault as fault:
            _logger.info("containers of jobs not removed yet", error=fault.message)

    def _follow(self, execution: JobExecution) -> None:
        number = execution.run.number
        thread = threading.Thread(
            target=self._execute, args=(execution,), name=f"job run {number} of {execution.run.pipeline}", daemon=True
        )
        with self._lock:
            self._followed[number] = (execution, thread)
        thread.start()

    def _execute(self, execution: JobExecution) -> None:
        try:
            execution.execute()
        except PenstockError as error:
            # The next step adopts it.
            _logger.warning("job run not followed", job=execution.run.job, error=error.message)
        except Exception:
            _logger.exception("internal error in a job run", job=execution.run.job)
        finally:
            with self._lock:
                del self._followed[execution.run.number]

    def _report_once(self, context: StageContext, job: Job, text: str) -> None:
        message = f"{job.name} is not run by its schedule: {text}"
        if message not in self._reported:
            self._reported.add(message)
            context.events.emit(EventKind.JOB_SKIPPED, message, job=job.name, reason=text)


def _emit_skipped(context: StageContext, job: Job, skipped: Skipped) -> None:
    context.events.emit(
        EventKind.JOB_SKIPPED,
        f"{job.name}: {skipped.describe()}",
        job=job.name,
        scheduled_for=skipped.first.isoformat(),
        until=skipped.last.isoformat(),
        count=skipped.count,
        reason=skipped.reason,
    )
