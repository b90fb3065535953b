"""After a crash: the runs that nobody works on any more are closed, and what they had begun is put right."""

from __future__ import annotations

from collections.abc import Callable

from pipeline.api import Deployer, StageContext
from pipeline.errors import ConfigError, StageFailed
from pipeline.store.records import DeploymentState, Run, RunState, StageState


def needs_recovery(context: StageContext) -> bool:
    """Whether a process died in the middle of something."""
    pipeline = context.configuration.pipeline.name
    return bool(context.store.unfinished_runs(pipeline)) or context.store.open_deployment(pipeline) is not None


def recover(context: StageContext, deployer: Callable[[], Deployer]) -> None:
    """Put right what a dead process left. The caller holds the pipeline's lock, so nobody else is at it."""
    from pipeline.engine.engine import Engine

    store, pipeline, events = context.store, context.configuration.pipeline.name, context.events
    for run in store.unfinished_runs(pipeline):
        events.emit("run.interrupted", f"run {run.number} was interrupted{_where(context, run)}")
    with Engine(context.home.id) as engine:
        engine.containers.remove_leftovers(pipeline)
    deployment = store.open_deployment(pipeline)
    if deployment is not None:
        events.emit("recovery.started", "bringing the target group back to the last good release")
        try:
            done = deployer().recover(context, deployment)
        except (StageFailed, ConfigError) as failure:
            # The release that served no longer works, for reasons of its own. That must not keep a new one out.
            store.finish_deployment(deployment, DeploymentState.FAILED, failure.message)
            events.emit("recovery.failed", f"the last good release does not come up: {failure.message}")
        else:
            events.emit("recovery.finished", f"recovered: {done}")
    for run in store.unfinished_runs(pipeline):
        store.finish_run(pipeline, run.number, RunState.INTERRUPTED, f"interrupted{_where(context, run)}")


def _where(context: StageContext, run: Run) -> str:
    stages = context.store.stages(run.pipeline, run.number)
    running = next((s.name for s in stages if s.state is StageState.RUNNING), None)
    return f" during {running.capitalize()}" if running else ""
