"""Runs that a test starts without a worker."""

from __future__ import annotations

from pipeline.store.queue import RunRequest
from pipeline.store.records import Run, RunKind, Trigger
from pipeline.store.store import Store


def begin_run(store: Store, pipeline: str, kind: RunKind = RunKind.RUN, requested: str | None = None) -> Run:
    """Start the next run of a pipeline. Return its row."""
    run = store.queue.begin(pipeline, RunRequest(Trigger.COMMAND, requested, kind), "superseded")
    assert run is not None
    return run
