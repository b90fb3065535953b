"""After a crash: runs that nobody works on any more are closed or queued again, and what they began is put right."""

from __future__ import annotations

from pipeline.api import StageContext
from pipeline.errors import ConfigError, StageFailed
from pipeline.runs.stages import load_deployer
from pipeline.runs.submission import tell
from pipeline.runs.workshop import Workshop
from pipeline.store.records import DeploymentState, Run, RunState, StageState

# A run that nobody survives is given up.
_ATTEMPTS = 5


def needs_recovery(context: StageContext) -> bool:
    """Whether a process died in the middle of something."""
    pipeline = context.configuration.pipeline.name
    return bool(context.store.unfinished_runs(pipeline)) or context.store.open_deployment(pipeline) is not None


def recover(workshop: Workshop) -> None:
    """Put right what a dead process left. The caller holds the pipeline's lock, so nobody else is at it."""
    from pipeline.engine.engine import Engine

    store, pipeline, events = workshop.store, workshop.pipeline, workshop.events()
    context = workshop.context(events)
    for run in store.unfinished_runs(pipeline):
        events.emit("run.interrupted", f"run {run.number} was interrupted{_where(context, run)}")
    with Engine(context.home.id) as engine:
        engine.containers.remove_leftovers(pipeline)
    deployment = store.open_deployment(pipeline)
    if deployment is not None:
        events.emit("recovery.started", "bringing the target group back to the last good release")
        try:
            done = load_deployer().recover(context, deployment)
        except (StageFailed, ConfigError) as failure:
            # The release that served no longer works, for reasons of its own. That must not keep a new one out.
            store.finish_deployment(deployment, DeploymentState.FAILED, failure.message)
            events.emit("recovery.failed", f"the last good release does not come up: {failure.message}")
        else:
            events.emit("recovery.finished", f"recovered: {done}")
    for run in store.unfinished_runs(pipeline):
        _close(workshop, run, f"interrupted{_where(context, run)}")


def _close(workshop: Workshop, run: Run, reason: str) -> None:
    """What came from the queue goes back to it: whoever asked for it is not there to ask again."""
    mode = workshop.configuration.pipeline.execution_mode
    if run.queued_at is None or run.attempts >= _ATTEMPTS:
        workshop.store.finish_run(run.pipeline, run.number, RunState.INTERRUPTED, reason)
        return
    tell(workshop, workshop.store.queue.requeue(run.pipeline, run.number, mode))


def _where(context: StageContext, run: Run) -> str:
    stages = context.store.stages(run.pipeline, run.number)
    running = next((s.name for s in stages if s.state is StageState.RUNNING), None)
    return f" during {running.capitalize()}" if running else ""
