"""Runs are asked for: put into the queue, and told of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pipeline.event_kinds import EventKind
from pipeline.runner.context import PipelineContext
from pipeline.store.queue import RunRequest
from pipeline.store.records import Run, RunKind, RunState


def submit(
    pipeline_context: PipelineContext,
    requests: Sequence[RunRequest],
    heads: Mapping[str, tuple[str | None, str]] | None = None,
) -> list[Run]:
    """Queue runs, in order, and tell what became of these and of older ones. See `RunQueue.put`."""
    queue, mode = pipeline_context.store.queue, pipeline_context.configuration.pipeline.execution_mode
    runs = queue.put(pipeline_context.pipeline, requests, mode=mode, heads=heads)
    for run in runs:
        emit_run_state(pipeline_context, run)
    numbers = {run.number for run in runs}
    for run in runs:
        for older in queue.superseded_by(pipeline_context.pipeline, run.number):
            if older.number not in numbers and older.state is RunState.SUPERSEDED:
                emit_run_state(pipeline_context, older)
    return runs


def emit_run_state(pipeline_context: PipelineContext, run: Run) -> None:
    """Say how a run stands that nobody works on."""
    what = f"{run.sha[:7]} {run.subject}" if run.sha else run.requested or ""
    noun = run.kind if run.kind is not RunKind.RUN else "run"
    texts = {
        RunState.QUEUED: f"{noun} {run.number} queued by {run.trigger}: {what}".removesuffix(": "),
        RunState.SUPERSEDED: f"{noun} {run.number} superseded by run {run.superseded_by}: {what}".removesuffix(": "),
        RunState.SKIPPED: f"{noun} {run.number} skipped, {run.reason}: {what}",
        RunState.CANCELLED: f"{noun} {run.number} cancelled before it began",
    }
    kind = EventKind(f"run.{run.state}")
    pipeline_context.events(run.number).emit(kind, texts[run.state], state=run.state, reason=run.reason)
