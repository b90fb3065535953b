"""What a run may have to wait for before a stage: its turn, a closed transition, somebody's approval."""

from __future__ import annotations

from datetime import UTC, datetime

from pipeline.api import StageContext
from pipeline.config.steps import Approval
from pipeline.errors import StageFailed, Superseded
from pipeline.quantity import format_duration
from pipeline.store.records import Run, RunKind

_LOOK = 0.25


def pass_gates(context: StageContext, run: Run, stage: str) -> None:
    """Return when the stage has begun, by its row. Raises `Cancelled`, `Superseded`, or `StageFailed` when refused."""
    approval = context.configuration.pipeline.deploy.approval
    if stage == "deploy" and run.kind is RunKind.RUN and approval:
        _await_approval(context, run, approval)
    told = ""
    while True:
        passage = context.store.queue.enter(run.pipeline, run.number, stage)
        if passage.superseded_by:
            raise Superseded(f"superseded by run {passage.superseded_by}")
        if passage.entered:
            return
        if passage.waits_for != told:
            context.events.emit("run.waiting", f"run {run.number} waits for {passage.waits_for}", stage=stage)
            told = passage.waits_for
        context.cancelled.wait(_LOOK)
        context.check_cancelled()


def _await_approval(context: StageContext, run: Run, approval: Approval) -> None:
    told = False
    while (now := context.store.queue.await_approval(run.pipeline, run.number)).approval is None:
        if now.superseded_by:
            raise Superseded(f"superseded by run {now.superseded_by}")
        if not told:
            until = format_duration(approval.timeout)
            text = f"run {run.number} waits {until} at most for approval: pipeline approve {run.number}"
            context.events.emit("run.waiting", text, stage="deploy")
            told = True
        # Counted from when the run was asked for, so that a restart of ours does not begin it anew.
        if datetime.now(UTC) - (run.queued_at or run.started_at) > approval.timeout:
            raise StageFailed(f"nobody approved it within {format_duration(approval.timeout)}")
        context.cancelled.wait(_LOOK)
        context.check_cancelled()
    answer = now.approval
    comment = f": {answer.comment}" if answer.comment else ""
    if not answer.granted:
        raise StageFailed(f"rejected by {answer.by}{comment}")
    context.events.emit("run.approved", f"approved by {answer.by}{comment}")
