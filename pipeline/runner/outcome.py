"""The last event of a run that was executed."""

from __future__ import annotations

from pipeline.base.errors import ExitCode
from pipeline.event_kinds import EventKind
from pipeline.events import Events, Value
from pipeline.runner.context import PipelineContext
from pipeline.store.records import RunState

# The exit code of a failure is not stored. A run that failed is shown as one of the user's code, which most are.
_CODES = {
    RunState.FAILED: ExitCode.FAILED,
    RunState.ROLLED_BACK: ExitCode.ROLLED_BACK,
    RunState.ROLLBACK_FAILED: ExitCode.ROLLBACK_FAILED,
    RunState.CANCELLED: ExitCode.CANCELLED,
    RunState.SUPERSEDED: ExitCode.CANCELLED,
}


def emit_outcome(events: Events, run: int, state: RunState, reason: str, **fields: Value) -> None:
    """Emit the outcome of a run, which is stored already."""
    because = f", {reason}" if state is RunState.SKIPPED else ""
    text = f"run {run}: {state.replace('_', ' ')}{because}"
    events.emit(EventKind.RUN_FINISHED, text, state=state, reason=reason, **fields)


def emit_missing_outcomes(context: PipelineContext) -> None:
    """Emit the outcome of each run whose process died between storing and emitting it.

    The caller holds the pipeline's lock and executes no run, so no other process is about to emit it.
    """
    for run in context.store.runs.without_last_event(context.pipeline):
        code = _CODES.get(run.state)
        fields = {} if code is None else {"code": int(code)}
        emit_outcome(context.events(run.number), run.number, run.state, run.reason, **fields)
