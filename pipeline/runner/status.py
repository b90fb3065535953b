"""The status of a pipeline: who works on it and on which runs. Reads locks and the database; asks no process."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from pipeline.base.home import Home
from pipeline.base.lock import LockHolder, holder
from pipeline.event_kinds import EventKind
from pipeline.store.records import Run, RunState
from pipeline.store.store import Store

# The events about drift that still count are among so many.
_EVENTS = 500


@dataclass(frozen=True)
class PipelineStatus:
    """One look. `daemon` is whoever runs `pipeline serve`, `worker` whoever works on this pipeline, the daemon or not.

    `runs` are those that are not over, oldest first; `stages` what those that are worked on are in. `disabled` are the
    stages that are disabled, with the reason. `drift` is what the daemon has found and not repaired yet.
    `interrupted`: a process died in the middle of something that was not recovered yet.
    """

    daemon: LockHolder | None
    worker: LockHolder | None
    runs: Sequence[Run]
    stages: Mapping[int, str]
    disabled: Mapping[str, str]
    drift: Sequence[str]
    interrupted: bool = False

    @classmethod
    def of(cls, home: Home, store: Store, pipeline: str) -> PipelineStatus:
        """How it is now."""
        daemon, worker = holder(home.daemon_lock), holder(home.lock(pipeline))
        runs = store.queue.unfinished(pipeline)
        stages = {run.number: store.runs.stages(pipeline, run.number) for run in runs if run.state is RunState.RUNNING}
        return cls(
            daemon=daemon,
            worker=worker,
            runs=runs,
            stages={number: found[-1].name for number, found in stages.items() if found},
            disabled=store.transitions.disabled(pipeline),
            drift=_drift(store, pipeline, daemon) if daemon else (),
            interrupted=worker is None and has_abandoned_work(store, pipeline),
        )

    @property
    def served(self) -> bool:
        """Whether the daemon looks after this pipeline."""
        return self.daemon is not None and self.worker is not None and self.daemon.pid == self.worker.pid

    def describe(self, run: Run) -> str:
        """What becomes of a run that is not over."""
        if run.state is RunState.QUEUED:
            return "waits in the queue" if self.served else "waits in the queue, for `pipeline serve`"
        if run.waits_for == "approval":
            return f"waits for approval: pipeline approve {run.number}, or pipeline reject {run.number}"
        if run.waits_for:
            return f"waits for {run.waits_for}"
        return f"is in {self.stages[run.number].capitalize()}" if run.number in self.stages else "begins"


def has_abandoned_work(store: Store, pipeline: str, working: Collection[int] = ()) -> bool:
    """Return whether there are runs or a deployment that are not over, besides the runs in `working`.

    If the pipeline's lock is free, no process works on them any more.
    """
    deployment = store.deployments.open(pipeline)
    open_runs = {run.number for run in store.runs.running(pipeline)}
    return not (open_runs | ({deployment.run} if deployment else set())) <= set(working)


def _drift(store: Store, pipeline: str, daemon: LockHolder) -> Sequence[str]:
    """Return what this daemon found since its last repair, and why the repair failed."""
    found: list[str] = []
    failure: list[str] = []
    for event in store.events.latest(pipeline, limit=_EVENTS):
        if event.kind == EventKind.RECONCILE_REPAIRED or event.at < daemon.since:
            found, failure = [], []
        elif event.kind == EventKind.RECONCILE_DRIFT:
            found.append(event.message)
        elif event.kind == EventKind.RECONCILE_FAILED:
            failure = [f"repair failed: {event.message}"]
    return [*found, *failure]
