"""What a run may have to wait for before a stage: its turn, a closed transition, somebody's approval.

Whoever closes, opens or answers writes it down, and the process that works on the run sees it there.
"""

from __future__ import annotations

from datetime import timedelta

from pipeline.api import StageContext
from pipeline.base.clock import Stamp
from pipeline.base.errors import ConfigError, StageFailed, Superseded
from pipeline.base.quantity import format_duration
from pipeline.config.steps import Approval
from pipeline.event_kinds import EventKind
from pipeline.events import Events
from pipeline.store import records
from pipeline.store.records import Run, RunKind
from pipeline.store.store import Store

_LOOK = timedelta(seconds=0.25)


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
            context.events.emit(EventKind.RUN_WAITING, f"run {run.number} waits for {passage.waits_for}", stage=stage)
            told = passage.waits_for
        context.clock.wait(context.cancelled, _LOOK)
        context.check_cancelled()


def answer(store: Store, pipeline: str, number: int, given: records.Approval) -> Run:
    """Answer a run that waits for approval; the run as it is now, with the answer that counts, which is the first.

    Raises `ConfigError` where it does not wait.
    """
    run = store.run(pipeline, number)
    if run is None:
        raise ConfigError(f"{pipeline} has no run {number}", hint="`pipeline history` lists them")
    if run.waits_for != "approval":
        raise ConfigError(f"run {number} does not wait for approval: it is {run.state}")
    return store.queue.decide(pipeline, number, given)


def close(store: Store, events: Events, stage: str, reason: str) -> None:
    """Let no run into a stage."""
    store.transitions.close(events.pipeline, stage, reason)
    events.emit(EventKind.TRANSITION_DISABLED, f"no run goes into {stage.capitalize()}: {reason}", stage=stage)


def reopen(store: Store, events: Events, stage: str) -> bool:
    """Let runs into a stage again; whether it was closed."""
    was_closed = store.transitions.open(events.pipeline, stage)
    if was_closed:
        events.emit(EventKind.TRANSITION_ENABLED, f"runs go into {stage.capitalize()} again", stage=stage)
    return was_closed


def _await_approval(context: StageContext, run: Run, approval: Approval) -> None:
    told = False
    while (now := context.store.queue.await_approval(run.pipeline, run.number)).approval is None:
        if now.superseded_by:
            raise Superseded(f"superseded by run {now.superseded_by}")
        if not told:
            until = format_duration(approval.timeout)
            text = f"run {run.number} waits {until} at most for approval: pipeline approve {run.number}"
            context.events.emit(EventKind.RUN_WAITING, text, stage="deploy")
            told = True
        # Counted from when the run was queued, so a restart of the daemon does not extend it.
        if context.clock.since(Stamp.from_wall(run.queued_at or run.started_at)) > approval.timeout:
            raise StageFailed(f"nobody approved it within {format_duration(approval.timeout)}")
        context.clock.wait(context.cancelled, _LOOK)
        context.check_cancelled()
    answer = now.approval
    comment = f": {answer.comment}" if answer.comment else ""
    if not answer.granted:
        raise StageFailed(f"rejected by {answer.by}{comment}")
    context.events.emit(EventKind.RUN_APPROVED, f"approved by {answer.by}{comment}")
