"""The answers to a deployment in progress: `pipeline promote` and `pipeline abort`.

The answer is stored. The process that works on the deployment polls for it there, also one that continues after a kill.
"""

from __future__ import annotations

from pipeline.base.errors import ConfigError
from pipeline.config.release import service_names
from pipeline.store.deployment_answers import DeploymentWait
from pipeline.store.records import Deployment, RunState
from pipeline.store.store import Store

_OVER = "the deployment has continued or ended meanwhile"


def promote(store: Store, pipeline: str, by: str, service: str | None = None) -> str:
    """End what the deployment in progress waits for, of a service or of the only one. Return the effect.

    The first answer counts. Raises `ConfigError` if nothing waits.
    """
    deployment = _deployment(store, pipeline)
    if service is not None:
        _check_service(store, deployment, service)
    abort = store.deployment_answers.aborted(deployment.id)
    if abort is not None:
        raise ConfigError(f"the deployment was aborted by {abort.by}")
    wait = _wait(store.deployment_answers.waiting(pipeline), deployment, service)
    counts = store.deployment_answers.promote(wait, by)
    if counts is None:
        raise ConfigError(_OVER, hint="`pipeline status` shows what it waits for now")
    before = "" if wait.promoted_by is None else f" (promoted before by {counts})"
    return f"{wait.service}: {wait.description} ends, and the deployment continues{before}"


def abort(store: Store, pipeline: str, by: str, comment: str = "", service: str | None = None) -> str:
    """Roll the deployment in progress back, whatever it does now. Return the effect.

    All services of the release are rolled back, also if one is named. Raises `ConfigError` if there is no deployment.
    """
    deployment = _deployment(store, pipeline)
    if deployment.to_release is None:
        raise ConfigError("`pipeline down` cannot be aborted", hint="`pipeline run` deploys again afterwards")
    if service is not None:
        _check_service(store, deployment, service)
    known = store.deployment_answers.aborted(deployment.id)
    counts = store.deployment_answers.abort(deployment.id, by, comment)
    if counts is None:
        raise ConfigError(_OVER, hint="`pipeline rollback` deploys the previous release")
    before = "" if known is None else f" (aborted before by {counts.by})"
    return f"run {deployment.run} is rolled back to {_previous(deployment)}{before}"


def ways_to_end(store: Store, pipeline: str) -> str:
    """Return what the deployment in progress waits for, with the commands that end it. Empty if there is none."""
    deployment = store.deployments.open(pipeline)
    if deployment is None or deployment.to_release is None:
        return ""
    of_release = f"the deployment of release {deployment.to_release}"
    waits = store.deployment_answers.waiting(pipeline)
    if not waits:
        return f"`pipeline promote` ends a pause or a bake time of {of_release}, `pipeline abort` rolls it back"
    what = "; ".join(f"{wait.service}: {wait.description}" for wait in waits)
    return f"{of_release} waits ({what}): `pipeline promote` continues it, `pipeline abort` rolls it back"


def _deployment(store: Store, pipeline: str) -> Deployment:
    deployment = store.deployments.open(pipeline)
    if deployment is not None:
        return deployment
    runs = store.queue.unfinished(pipeline)
    if approval := next((run.number for run in runs if run.waits_for == "approval"), None):
        hint = f"run {approval} waits for approval: pipeline approve {approval}"
    elif running := next((run.number for run in runs if run.state is RunState.RUNNING), None):
        hint = f"run {running} has not begun to deploy; stop it with `pipeline cancel {running}`"
    else:
        hint = "`pipeline rollback` deploys an earlier release"
    raise ConfigError(f"{pipeline} has no deployment in progress", hint=hint)


def _check_service(store: Store, deployment: Deployment, service: str) -> None:
    release = deployment.to_release and store.releases.get(deployment.pipeline, deployment.to_release)
    names = service_names(release.spec) if release else ()
    if service not in names:
        raise ConfigError(
            f"release {deployment.to_release} has no service {service}", hint=f"its services are {', '.join(names)}"
        )


def _wait(waits: list[DeploymentWait], deployment: Deployment, service: str | None) -> DeploymentWait:
    found = [wait for wait in waits if service in (None, wait.service)]
    if len(found) == 1:
        return found[0]
    if found:
        names = [wait.service for wait in found]
        raise ConfigError(f"{', '.join(names)} wait", hint=f"name one: pipeline promote {names[0]}")
    if waits:
        raise ConfigError(
            f"{service} does not wait, but {waits[0].service} does: {waits[0].description}",
            hint=f"pipeline promote {waits[0].service}",
        )
    raise ConfigError(
        f"the deployment of release {deployment.to_release} does not wait"
        if deployment.to_release
        else "`pipeline down` does not wait",
        hint="promote ends a pause or a bake time; the deployment continues by itself now",
    )


def _previous(deployment: Deployment) -> str:
    if deployment.from_release is None:
        return "nothing, because no release was active before"
    if deployment.from_release == deployment.to_release:
        return f"release {deployment.from_release} as it was"
    return f"release {deployment.from_release}"
