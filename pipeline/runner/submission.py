"""Submission of runs to the queue, with the events of their first state."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pipeline.event_kinds import EventKind
from pipeline.runner.context import PipelineContext
from pipeline.runner.deployment_answer import ways_to_end
from pipeline.store.queue import RunRequest
from pipeline.store.records import Run, RunKind, RunState


def submit(
    context: PipelineContext,
    requests: Sequence[RunRequest],
    heads: Mapping[str, tuple[str | None, str]] | None = None,
) -> list[Run]:
    """Queue runs in order, and emit their state and that of the runs that they superseded. See `RunQueue.put`."""
    queue, mode = context.store.queue, context.configuration.pipeline.execution_mode
    runs = queue.put(context.pipeline, requests, mode=mode, heads=heads)
    for run in runs:
        emit_run_state(context, run)
        _emit_wait(context, run)
    # A run of this call that another one of it superseded is emitted above already.
    numbers = {run.number for run in runs}
    for run in runs:
        for older in queue.superseded_by(context.pipeline, run.number):
            if older.number not in numbers and older.state is RunState.SUPERSEDED:
                emit_run_state(context, older)
    return runs


def _emit_wait(context: PipelineContext, run: Run) -> None:
    """Emit that a command has to wait for a deployment in progress, which may bake for hours."""
    waits = run.state is RunState.QUEUED and run.kind is not RunKind.RUN
    if waits and (ways := ways_to_end(context.store, context.pipeline)):
        text = f"{run.kind} {run.number} waits for the deployment in progress; {ways}"
        context.events(run.number).emit(EventKind.RUN_WAITING, text, stage="deploy")


def emit_overtaken(context: PipelineContext, run: Run) -> None:
    """Emit the queued runs that a direct run has replaced, and those that it overtakes.

    Otherwise a user would not know that the daemon's next start deploys again after a rollback.
    """
    for older in context.store.queue.superseded_by(context.pipeline, run.number):
        emit_run_state(context, older)
    for waiting in context.store.queue.unfinished(context.pipeline):
        if waiting.state is RunState.QUEUED and run.kind is not RunKind.RUN:
            text = (
                f"run {waiting.number} is still queued, and `pipeline serve` will deploy it after this {run.kind}; "
                f"to prevent this: pipeline cancel {waiting.number}"
            )
            context.events(waiting.number).emit(EventKind.RUN_WAITING, text, stage="source")


def emit_run_state(context: PipelineContext, run: Run) -> None:
    """Emit the state of a run that is not in execution."""
    commit = f"{run.sha[:7]} {run.subject}" if run.sha else run.requested or ""
    noun = run.kind if run.kind is not RunKind.RUN else "run"
    texts = {
        RunState.QUEUED: f"{noun} {run.number} queued by {run.by or run.trigger}: {commit}".removesuffix(": "),
        RunState.SUPERSEDED: f"{noun} {run.number} superseded by run {run.superseded_by}: {commit}".removesuffix(": "),
        RunState.SKIPPED: f"{noun} {run.number} skipped, {run.reason}: {commit}",
        RunState.CANCELLED: f"{noun} {run.number} {run.reason} before it started",
    }
    kind = EventKind(f"run.{run.state}")
    by = {RunState.QUEUED: run.by, RunState.CANCELLED: run.cancelled_by}.get(run.state)
    actor = {} if by is None else {"by": by}
    context.events(run.number).emit(kind, texts[run.state], state=run.state, reason=run.reason, **actor)
