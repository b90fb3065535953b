"""The status of a pipeline, read from its locks and the database without asking a process."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.base.home import Home
from pipeline.base.lock import LockHolder, holder
from pipeline.event_kinds import EventKind
from pipeline.store.deployment_answers import DeploymentWait
from pipeline.store.deployment_progress import ServiceProgress
from pipeline.store.records import Deployment, Run, RunState
from pipeline.store.store import Store

_ANSWERS = "pipeline promote, or pipeline abort"
# The latest events that are searched for drift.
_MAX_EVENTS = 500


@dataclass(frozen=True)
class AlarmStatus:
    """The latest known state of a condition of `rollback_on` in the open deployment, as CloudWatch names it.

    `condition` is its place in the list of the service. `text` has its numbers and what it still needs, and `needed`
    about the number of requests of that.
    """

    service: str
    release: int
    condition: int
    state: str
    text: str
    needed: int | None


@dataclass(frozen=True)
class PipelineStatus:
    """The status of a pipeline at one moment.

    `daemon` is the process of `pipeline serve`. `worker` is the process that holds the pipeline's lock, which may be
    another one. `runs` are the unfinished runs, oldest first, and `stages` the current stages of the running ones.
    `disabled` maps disabled stages to their reasons. `drift` was found by the daemon and is not repaired yet.
    `interrupted` means that a process died and its work is not recovered yet. `deployment` is the open one, and
    `progress` how far each of its services is. `held` means that a process died in it, and a queued run continues it.
    `waits` are what the deployment waits for until `pipeline promote`. `alarms` are those of the open deployment.
    """

    daemon: LockHolder | None
    worker: LockHolder | None
    runs: Sequence[Run]
    stages: Mapping[int, str]
    disabled: Mapping[str, str]
    drift: Sequence[str]
    interrupted: bool = False
    deployment: Deployment | None = None
    progress: Sequence[ServiceProgress] = ()
    held: bool = False
    alarms: Sequence[AlarmStatus] = ()
    waits: Sequence[DeploymentWait] = ()

    @classmethod
    def of(cls, home: Home, store: Store, pipeline: str) -> PipelineStatus:
        """Read the current status."""
        daemon, worker = holder(home.daemon_lock), holder(home.lock(pipeline))
        runs = store.queue.unfinished(pipeline)
        stages = {run.number: store.runs.stages(pipeline, run.number) for run in runs if run.state is RunState.RUNNING}
        deployment = store.deployments.open(pipeline)
        return cls(
            daemon=daemon,
            worker=worker,
            runs=runs,
            stages={number: found[-1].name for number, found in stages.items() if found},
            disabled=store.transitions.disabled(pipeline),
            drift=_drift(store, pipeline) if daemon and worker and daemon.pid == worker.pid else (),
            interrupted=worker is None and has_abandoned_work(store, pipeline),
            deployment=deployment,
            progress=store.progress.all(deployment) if deployment else (),
            held=deployment is not None and is_held(store, deployment),
            alarms=_alarms(store, pipeline),
            waits=store.deployment_answers.waiting(pipeline),
        )

    @property
    def served(self) -> bool:
        """True if the daemon manages this pipeline."""
        return self.daemon is not None and self.worker is not None and self.daemon.pid == self.worker.pid

    def describe(self, run: Run) -> str:
        """Describe the state of an unfinished run, as the predicate of a sentence."""
        if run.state is RunState.QUEUED:
            return "waits in the queue" if self.served else "waits in the queue, for `pipeline serve`"
        if run.cancelled_by:
            return f"is being cancelled by {run.cancelled_by}"
        if run.waits_for == "approval":
            return f"waits for approval: pipeline approve {run.number}, or pipeline reject {run.number}"
        if found := self.waits_of(run):
            return f"waits in Deploy: {found}: {_ANSWERS}"
        if run.waits_for:
            return f"waits for {run.waits_for}"
        return f"is in {self.stages[run.number].capitalize()}" if run.number in self.stages else "is starting"

    def waits_of(self, run: Run) -> str | None:
        """Return what the deployment of a run waits for until a user answers, None without that."""
        if self.deployment is None or self.deployment.run != run.number:
            return None
        return "; ".join(f"{wait.service}: {_described(wait)}" for wait in self.waits) or None

    def waits_for(self, progress: ServiceProgress) -> str:
        """Return what the deployment of a service waits for, in words, and what a user does about it."""
        pause = next((wait for wait in self.waits if wait.service == progress.service and wait.is_pause), None)
        return f"{_described(pause)}: {_ANSWERS}" if pause else progress.waits_for


def _described(wait: DeploymentWait) -> str:
    by = f", promoted by {wait.promoted_by}" if wait.promoted_by else ""
    return f"{wait.description}{by}"


def has_abandoned_work(store: Store, pipeline: str, working: Collection[int] = ()) -> bool:
    """Return whether there are runs or a deployment that are not over, besides the runs in `working`.

    If the pipeline's lock is free, no process works on them any more. A deployment that a queued run continues is not
    abandoned.
    """
    deployment = store.deployments.open(pipeline)
    open_runs = {run.number for run in store.runs.running(pipeline)}
    if deployment is not None and not is_held(store, deployment):
        open_runs.add(deployment.run)
    return not open_runs <= set(working)


def is_held(store: Store, deployment: Deployment) -> bool:
    """Return whether a deployment that has moved traffic stays as it is until its queued run continues it."""
    run = store.runs.get(deployment.pipeline, deployment.run)
    return run is not None and run.state is RunState.QUEUED and store.progress.can_continue(deployment)


def _drift(store: Store, pipeline: str) -> Sequence[str]:
    """Return what the daemon found since its start or its last repair, and why the repair failed."""
    found: list[str] = []
    failure: list[str] = []
    for event in store.events.latest(pipeline, limit=_MAX_EVENTS):
        if event.kind in (EventKind.RECONCILE_REPAIRED, EventKind.SERVE_STARTED):
            found, failure = [], []
        elif event.kind == EventKind.RECONCILE_DRIFT:
            found.append(event.message)
        elif event.kind == EventKind.RECONCILE_FAILED:
            failure = [f"repair failed: {event.message}"]
    return [*found, *failure]


def _alarms(store: Store, pipeline: str) -> Sequence[AlarmStatus]:
    """Return the conditions of the open deployment, as its process has reported them last."""
    deployment = store.deployments.open(pipeline)
    if deployment is None:
        return ()
    found: dict[tuple[str, int], AlarmStatus] = {}
    for event in store.events.latest(pipeline, limit=_MAX_EVENTS):
        if event.kind == EventKind.ALARM_EVALUATED and event.at >= deployment.started_at:
            fields: Mapping[str, Any] = event.fields
            alarm = AlarmStatus(
                service=fields["service"],
                release=fields["release"],
                condition=fields["condition"],
                state=fields["state"],
                text=event.message.partition(f"{fields['state']}, ")[2],
                needed=fields["needed"],
            )
            found[alarm.service, alarm.condition] = alarm
        elif event.kind == EventKind.SHIFT_MIRRORED:
            # The conditions on copies are others than those that follow.
            found = {key: alarm for key, alarm in found.items() if key[0] != event.fields["service"]}
    return [found[key] for key in sorted(found)]
