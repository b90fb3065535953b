"""The end of a job's run: which outcome it is, its event, and its row."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from pipeline.api import StageContext
from pipeline.base.quantity import format_duration
from pipeline.engine.container import Container
from pipeline.event_kinds import EventKind
from pipeline.jobs.output import MAX_RUNS
from pipeline.store.job_run import JobRun, JobState


@dataclass(frozen=True)
class Outcome:
    """How a run ended. `reason` is empty for a success."""

    state: JobState
    exit_code: int | None = None
    reason: str = ""


def outcome_of(run: JobRun, ended: Container) -> Outcome:
    """Return the outcome of a run whose container has ended."""
    code = ended.exit_code
    if run.is_cancelled:
        return Outcome(JobState.CANCELLED, code, "cancelled")
    if run.timed_out is not None:
        return Outcome(JobState.TIMED_OUT, code, f"still running after {format_duration(run.timed_out)}: stopped")
    if code == 0:
        return Outcome(JobState.SUCCEEDED, code)
    if ended.ran_out_of_memory:
        return Outcome(JobState.FAILED, code, "used more memory than its limit allows: killed")
    return Outcome(JobState.FAILED, code, f"exit code {code}")


def record(context: StageContext, run: JobRun, outcome: Outcome, ended: Container | None = None) -> None:
    """Emit the event of a run's end, then store it, and delete runs that are not kept any more.

    A kill in between leaves a run that is not over, so its end is found again, and emitted a second time.
    """
    now, took = context.clock.now().wall, context.clock.since(run.started)
    if ended is not None and ended.finished_at and ended.process_started_at:
        # It may have ended while no process followed it.
        now, took = ended.finished_at, max(ended.finished_at - ended.process_started_at, timedelta(0))
    _emit(context, run, outcome, took)
    reason = context.events.printable(outcome.reason)
    context.store.job_runs.finish(run, outcome.state, now, took, exit_code=outcome.exit_code, reason=reason)
    _prune(context, run)


def _emit(context: StageContext, run: JobRun, outcome: Outcome, took: timedelta) -> None:
    seconds, name = round(took.total_seconds(), 3), f"{run.job}: run {run.number}"
    emit = context.events.emit
    if outcome.state is JobState.SUCCEEDED:
        text = f"{name} succeeded in {seconds:.1f} s"
        emit(EventKind.JOB_SUCCEEDED, text, job=run.job, job_run=run.number, seconds=seconds)
    elif outcome.state is JobState.CANCELLED:
        who = (context.store.job_runs.get(run.pipeline, run.number) or run).cancelled_by
        actor = {"by": who} if who else {}
        text = f"{name} was cancelled after {seconds:.1f} s{f' (by {who})' if who else ''}"
        emit(EventKind.JOB_CANCELLED, text, job=run.job, job_run=run.number, exit_code=outcome.exit_code, **actor)
    else:
        verb = "is lost" if outcome.state is JobState.LOST else "failed"
        emit(
            EventKind.JOB_FAILED,
            f"{name} {verb}: {outcome.reason}",
            job=run.job,
            job_run=run.number,
            state=str(outcome.state),
            exit_code=outcome.exit_code,
            reason=outcome.reason,
        )


def _prune(context: StageContext, run: JobRun) -> None:
    retention = context.configuration.pipeline.retention
    since = context.clock.now().wall - timedelta(days=retention.days) if retention.days else None
    keep = min(retention.runs, MAX_RUNS)
    context.store.job_runs.prune(run.pipeline, run.job, keep, since)
    context.store.history.prune_events(run.pipeline)
    # Listed before the rows are read: a run has its row before its log.
    logs = list(context.home.job_logs(run.pipeline).glob("*.jsonl"))
    kept = {each.container for each in context.store.job_runs.all(run.pipeline)}
    for path in logs:
        if path.stem not in kept:
            path.unlink(missing_ok=True)
