"""Recovery after a crash: abandoned runs are closed or queued again, and their deployment is undone."""

from __future__ import annotations

from collections.abc import Collection

from pipeline.api import StageContext
from pipeline.base.errors import ConfigError, ExitCode, StageFailed
from pipeline.event_kinds import EventKind
from pipeline.runner.context import PipelineContext
from pipeline.runner.outcome import emit_outcome
from pipeline.runner.stages import load_deployer
from pipeline.runner.status import has_abandoned_work, is_held
from pipeline.runner.submission import emit_run_state
from pipeline.store.deployment_answers import Abort
from pipeline.store.deployment_progress import describe_moving
from pipeline.store.records import Deployment, DeploymentState, Run, RunState, StageState
from pipeline.store.store import Store

# A run whose process has died this often is not queued again.
_ATTEMPTS = 5


def needs_recovery(context: StageContext, working: Collection[int] = ()) -> bool:
    """Return whether a process died during a run or a deployment. `working` are the runs of the caller."""
    return has_abandoned_work(context.store, context.configuration.pipeline.name, working)


def recover(
    pipeline_context: PipelineContext,
    working: Collection[int] = (),
    *,
    holds: bool | None = None,
    serves: bool = False,
) -> None:
    """Undo the deployment of a dead process, and close or requeue its runs. The caller holds the pipeline's lock.

    The runs in `working` are the caller's own, and are left alone. A deployment that has moved traffic is held instead
    of undone if its run is queued again. With `holds` True it is held in any case, for a run that the caller begins and
    that continues or undoes it. With False it is undone in any case. With `serves` the caller executes queued runs, so
    the run of a command is queued again too if a user has promoted its deployment.
    """
    from pipeline.engine.hosts import local_engine

    store, pipeline, events = pipeline_context.store, pipeline_context.pipeline, pipeline_context.events()
    context = pipeline_context.stage_context(events)
    abandoned = [run for run in store.runs.running(pipeline) if run.number not in working]
    with local_engine(context.home.id) as engine:
        engine.containers.remove_leftovers(pipeline, lambda: working)
    context.home.remove_contexts(pipeline, lambda: working)
    deployment = store.deployments.open(pipeline)
    requeued = [run for run in abandoned if _is_requeued(run) or (serves and _is_promoted(store, deployment, run))]
    if deployment is not None and _is_held(store, deployment, requeued, holds=holds):
        events.emit(EventKind.DEPLOYMENT_HELD, _held_text(store, deployment))
    elif deployment is not None and deployment.run not in working:
        events.emit(EventKind.RECOVERY_STARTED, "restoring the last good release")
        try:
            done = load_deployer(context).recover(context, deployment)
        except (StageFailed, ConfigError) as failure:
            # The last good release no longer works. That must not block a new release.
            events.emit(EventKind.RECOVERY_FAILED, f"the last good release does not become healthy: {failure.message}")
        else:
            events.emit(EventKind.RECOVERY_FINISHED, f"recovered: {done}")
    for run in abandoned:
        reason = f"interrupted{_where(context, run)}"
        if abort := store.deployment_answers.abort_of_run(pipeline, run.number):
            _close_aborted(pipeline_context, run, reason, abort)
        elif run.cancelled_by:
            _close_cancelled(pipeline_context, run, reason, run.cancelled_by)
        else:
            _close(pipeline_context, run, reason, is_requeued=run in requeued)


def _close_aborted(pipeline_context: PipelineContext, run: Run, reason: str, abort: Abort) -> None:
    """Close a run whose deployment a user has aborted. In the queue, it would deploy again what was not wanted."""
    events, store = pipeline_context.events(run.number), pipeline_context.store
    deployment = store.deployments.of_run(run.pipeline, run.number)
    if deployment is None or deployment.state is DeploymentState.SUCCEEDED:
        # The order came too late.
        _close(pipeline_context, run, reason, is_requeued=_is_requeued(run))
        return
    events.emit(EventKind.RUN_INTERRUPTED, f"run {run.number} was {reason}")
    state, code, text = RunState.ROLLED_BACK, ExitCode.ROLLED_BACK, abort.reason
    if deployment.state is DeploymentState.FAILED and deployment.reason != abort.reason:
        state, code = RunState.ROLLBACK_FAILED, ExitCode.ROLLBACK_FAILED
        text = f"{abort.reason}; the rollback failed: {deployment.reason}"
    elif deployment.state is DeploymentState.FAILED or store.releases.active(run.pipeline) is None:
        # Nothing had moved, or no release was there to return to.
        state, code = RunState.FAILED, ExitCode.FAILED
    store.runs.finish(run.pipeline, run.number, state, text)
    emit_outcome(events, run.number, state, text, code=int(code), by=abort.by)


def _close_cancelled(pipeline_context: PipelineContext, run: Run, reason: str, by: str) -> None:
    """Close a run that a user has cancelled just before its process died."""
    events, text = pipeline_context.events(run.number), f"cancelled by {by}; {reason}"
    events.emit(EventKind.RUN_INTERRUPTED, f"run {run.number} was {reason}")
    pipeline_context.store.runs.finish(run.pipeline, run.number, RunState.CANCELLED, text)
    emit_outcome(events, run.number, RunState.CANCELLED, text, code=int(ExitCode.CANCELLED), by=by)


def _is_held(store: Store, deployment: Deployment, requeued: Collection[Run], *, holds: bool | None) -> bool:
    """Return whether a deployment stays as it is, because a run will continue or undo it."""
    if not store.progress.can_continue(deployment) or store.deployment_answers.aborted(deployment.id):
        return False
    if holds is not None:
        return holds
    return deployment.run in {run.number for run in requeued} or is_held(store, deployment)


def _held_text(store: Store, deployment: Deployment) -> str:
    moving = describe_moving(store.progress.all(deployment))
    return f"the deployment of release {deployment.to_release} stays as it is{moving}"


def _is_requeued(run: Run) -> bool:
    """Return whether a run that lost its process is queued again.

    A run of a command that died is closed, and so is one that a user has cancelled.
    """
    return run.queued_at is not None and run.attempts < _ATTEMPTS and run.cancelled_by is None


def _is_promoted(store: Store, deployment: Deployment | None, run: Run) -> bool:
    """Return whether a deployment waits with the answer of a user, whom nothing else would obey."""
    if deployment is None or deployment.run != run.number or run.attempts >= _ATTEMPTS or run.cancelled_by:
        return False
    return store.progress.can_continue(deployment) and store.deployment_answers.is_promoted(deployment.id)


def _close(pipeline_context: PipelineContext, run: Run, reason: str, *, is_requeued: bool) -> None:
    """Close a run, or put it into the queue again."""
    mode = pipeline_context.configuration.pipeline.execution_mode
    # Emitted once, after the deployment was undone: Docker may be away for hours before that.
    pipeline_context.events(run.number).emit(EventKind.RUN_INTERRUPTED, f"run {run.number} was {reason}")
    if not is_requeued:
        pipeline_context.store.runs.finish(run.pipeline, run.number, RunState.INTERRUPTED, reason)
        return
    emit_run_state(pipeline_context, pipeline_context.store.queue.requeue(run.pipeline, run.number, mode))


def _where(context: StageContext, run: Run) -> str:
    stages = context.store.runs.stages(run.pipeline, run.number)
    running = next((s.name for s in stages if s.state is StageState.RUNNING), None)
    return f" during {running.capitalize()}" if running else ""
