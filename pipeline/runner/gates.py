"""Gates before a stage: the order of runs, disabled transitions, approval.

Commands and the daemon write decisions to the store. The process that executes the run polls for them there.
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
from pipeline.runner.deployment_answer import ways_to_end
from pipeline.store import records
from pipeline.store.records import Run, RunKind
from pipeline.store.store import Store

_POLL_INTERVAL = timedelta(seconds=0.25)


def pass_gates(context: StageContext, run: Run, stage: str) -> None:
    """Wait until the run may enter a stage, and start the stage in the store.

    Raises `Cancelled`, `Superseded`, or `StageFailed` if the run is rejected.
    """
    approval = context.configuration.pipeline.deploy.approval
    if stage == "deploy" and run.kind is RunKind.RUN and approval:
        _await_approval(context, run, approval)
    last_reported = ""
    while True:
        # First: a stage may have returned without checking the event, and the next one must not begin.
        context.check_cancelled()
        admission = context.store.queue.enter(run.pipeline, run.number, stage)
        if admission.superseded_by:
            raise Superseded(f"superseded by run {admission.superseded_by}")
        if admission.entered:
            return
        ways = ways_to_end(context.store, run.pipeline) if admission.waits_for.startswith("run ") else ""
        text = f"run {run.number} waits for {admission.waits_for}{f'; {ways}' if ways else ''}"
        if text != last_reported:
            context.events.emit(EventKind.RUN_WAITING, text, stage=stage, waits_for=admission.waits_for)
            last_reported = text
        context.clock.wait(context.cancelled, _POLL_INTERVAL)


def planned_waits(context: StageContext, stage: str) -> list[str]:
    """Return what a run would wait for before a stage."""
    pipeline = context.configuration.pipeline
    reason = context.store.transitions.disabled(pipeline.name).get(stage)
    closed = f"wait until `pipeline transition enable {stage}`: the transition is disabled: {reason}"
    approval = pipeline.deploy.approval if stage == "deploy" else None
    approved = f"wait up to {format_duration(approval.timeout)} for `pipeline approve RUN`" if approval else ""
    return [*([approved] if approved else []), *([closed] if reason is not None else [])]


def answer(store: Store, pipeline: str, number: int, given: records.ApprovalDecision) -> Run:
    """Store the decision about a run that waits for approval, and return the run as it is now.

    The first decision counts. Raises `ConfigError` if the run does not wait for approval.
    """
    run = store.runs.get(pipeline, number)
    if run is None:
        raise ConfigError(f"{pipeline} has no run {number}", hint="`pipeline history` lists them")
    if run.waits_for != "approval":
        raise ConfigError(f"run {number} does not wait for approval: its state is {run.state}")
    return store.queue.record_decision(pipeline, number, given)


def disable_transition(store: Store, events: Events, stage: str, reason: str) -> None:
    """Keep runs out of a stage."""
    store.transitions.disable(events.pipeline, stage, reason)
    text = f"transition into {stage.capitalize()} disabled: {reason}"
    events.emit_action(EventKind.TRANSITION_DISABLED, text, stage=stage)


def enable_transition(store: Store, events: Events, stage: str) -> bool:
    """Let runs into a stage again. False if the transition was enabled already."""
    was_disabled = store.transitions.enable(events.pipeline, stage)
    if was_disabled:
        events.emit_action(EventKind.TRANSITION_ENABLED, f"transition into {stage.capitalize()} enabled", stage=stage)
    return was_disabled


def _await_approval(context: StageContext, run: Run, approval: Approval) -> None:
    reported = False
    while (now := context.store.queue.await_approval(run.pipeline, run.number)).approval is None:
        if now.superseded_by:
            raise Superseded(f"superseded by run {now.superseded_by}")
        if not reported:
            until = format_duration(approval.timeout)
            text = f"run {run.number} waits up to {until} for approval: pipeline approve {run.number}"
            context.events.emit(EventKind.RUN_WAITING, text, stage="deploy", waits_for="approval")
            reported = True
        # Counted from when the run was queued, so a restart of the daemon does not extend it.
        if context.clock.since(run.queued or run.started or Stamp.from_wall(run.started_at)) > approval.timeout:
            raise StageFailed(f"not approved within {format_duration(approval.timeout)}")
        context.clock.wait(context.cancelled, _POLL_INTERVAL)
        context.check_cancelled()
    answer = now.approval
    kind, word = (EventKind.RUN_APPROVED, "approved") if answer.granted else (EventKind.RUN_REJECTED, "rejected")
    text = f"{word} by {answer.by}{f': {answer.comment}' if answer.comment else ''}"
    context.events.emit(kind, text, by=answer.by, comment=answer.comment)
    if not answer.granted:
        raise StageFailed(text)
