"""A deployment that an earlier process has left open: whether a run continues it, and what the plan says of it."""

from __future__ import annotations

from collections.abc import Callable

from pipeline.api import PlanFact, StageContext
from pipeline.base.errors import ConfigError, StageFailed
from pipeline.base.lock import is_held
from pipeline.config.release import ReleaseSpec
from pipeline.config.run_variables import RunVariables
from pipeline.event_kinds import EventKind
from pipeline.store.deployment_progress import describe_moving
from pipeline.store.records import Deployment, Release, RunState


def continued_release(context: StageContext, spec: ReleaseSpec) -> Release | None:
    """Return the release of the open deployment if a run of `spec` continues it, or None.

    It must have moved traffic, with the same images and configuration. Variables of a run have other values in each.
    """
    store, pipeline = context.store, context.configuration.pipeline.name
    row = store.deployments.open(pipeline)
    if row is None or row.to_release is None or not store.progress.can_continue(row):
        return None
    release = store.releases.get(pipeline, row.to_release)
    if release is None:
        return None
    stored = ReleaseSpec.parse(release.spec)
    numbered = spec.with_variables(RunVariables(release=release.number))
    return release if numbered.with_values_of(stored) == stored else None


def undo_first(context: StageContext, undo: Callable[[Deployment], str]) -> None:
    """Undo the open deployment if there is one, so that the next one starts from the active release."""
    row = context.store.deployments.open(context.configuration.pipeline.name)
    if row is None:
        return
    context.events.emit(EventKind.RECOVERY_STARTED, "an interrupted deployment is undone first")
    try:
        done = undo(row)
    except (StageFailed, ConfigError) as failure:
        # The last good release no longer works. That must not block a new release.
        text = f"the last good release does not become healthy: {failure.message}"
        context.events.emit(EventKind.RECOVERY_FAILED, text)
    else:
        context.events.emit(EventKind.RECOVERY_FINISHED, f"recovered: {done}")


def held_steps(context: StageContext, spec: ReleaseSpec) -> list[str]:
    """Return what a run of `spec` does with the open deployment, as steps of its plan."""
    store = context.store
    row = store.deployments.open(context.configuration.pipeline.name)
    if row is None:
        return []
    release = f"release {row.to_release}" if row.to_release else "no release"
    moving = describe_moving(store.progress.all(row))
    if _is_running(context, row):
        return [
            f"wait for the end of the open deployment of {release}{moving}",
            PlanFact("the steps below are those after a rollback of it"),
        ]
    if continued_release(context, spec) is None:
        return [f"undo the interrupted deployment of {release} first{moving}"]
    return [f"continue the interrupted deployment of {release}{moving}"]


def _is_running(context: StageContext, row: Deployment) -> bool:
    """Return whether a process works on the open deployment now. One of a queued run waits for its run."""
    run = context.store.runs.get(row.pipeline, row.run)
    return run is not None and run.state is RunState.RUNNING and is_held(context.home.lock(row.pipeline))


def new_template(context: StageContext, service: str) -> str | None:
    """Return the template of the containers that the open deployment has started of a service.

    None without an open deployment, and if it replaces no container of the service.
    """
    store, pipeline = context.store, context.configuration.pipeline.name
    row, active = store.deployments.open(pipeline), store.releases.active(pipeline)
    release = store.releases.get(pipeline, row.to_release) if row and row.to_release else None
    found = [_template(context, each, service) for each in (release, active)]
    return found[0] if found[0] != found[1] else None


def _template(context: StageContext, release: Release | None, service: str) -> str | None:
    spec = ReleaseSpec.parse(release.spec) if release else None
    if spec is None or service not in spec.replicated:
        return None
    return spec.service(service).template(context.configuration.secrets)
