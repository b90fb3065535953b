"""Runs are asked for: put into the queue, and told of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pipeline.runner.context import Workshop
from pipeline.store.queue import Request
from pipeline.store.records import Run, RunKind, RunState


def submit(
    workshop: Workshop, requests: Sequence[Request], heads: Mapping[str, tuple[str | None, str]] | None = None
) -> list[Run]:
    """Queue runs, in order, and tell what became of these and of older ones. See `RunQueue.put`."""
    queue, mode = workshop.store.queue, workshop.configuration.pipeline.execution_mode
    runs = queue.put(workshop.pipeline, requests, mode=mode, heads=heads)
    for run in runs:
        tell(workshop, run)
    numbers = {run.number for run in runs}
    for run in runs:
        for older in queue.superseded_by(workshop.pipeline, run.number):
            if older.number not in numbers and older.state is RunState.SUPERSEDED:
                tell(workshop, older)
    return runs


def tell(workshop: Workshop, run: Run) -> None:
    """Say how a run stands that nobody works on."""
    what = f"{run.sha[:7]} {run.subject}" if run.sha else run.requested or ""
    kind = run.kind if run.kind is not RunKind.RUN else "run"
    texts = {
        RunState.QUEUED: f"{kind} {run.number} queued by {run.trigger}: {what}".removesuffix(": "),
        RunState.SUPERSEDED: f"{kind} {run.number} superseded by run {run.superseded_by}: {what}".removesuffix(": "),
        RunState.SKIPPED: f"{kind} {run.number} skipped, {run.reason}: {what}",
        RunState.CANCELLED: f"{kind} {run.number} cancelled before it began",
    }
    workshop.events(run.number).emit(f"run.{run.state}", texts[run.state], state=run.state, reason=run.reason)
