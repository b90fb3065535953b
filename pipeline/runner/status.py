"""What is being done for a pipeline, and by whom: read from the locks and the database, nobody is asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pipeline.base.home import Home
from pipeline.base.lock import LockHolder, holder
from pipeline.store.records import Run, RunState
from pipeline.store.store import Store

# Among so many events are those of the upkeep that count now.
_EVENTS = 500
_FAILED = "could not be mended: "


@dataclass(frozen=True)
class PipelineStatus:
    """One look. `daemon` is whoever runs `pipeline serve`, `worker` whoever works on this pipeline, the daemon or not.

    `runs` are those that are not over, oldest first; `stages` what those that are worked on are in. `closed` are the
    stages that are closed, with the reason. `findings` is what the daemon has found, and has not mended yet.
    """

    daemon: LockHolder | None
    worker: LockHolder | None
    runs: Sequence[Run]
    stages: Mapping[int, str]
    closed: Mapping[str, str]
    findings: Sequence[str]

    @classmethod
    def of(cls, home: Home, store: Store, pipeline: str) -> PipelineStatus:
        """How it is now."""
        daemon, worker = holder(home.daemon_lock), holder(home.lock(pipeline))
        runs = store.queue.unfinished(pipeline)
        stages = {run.number: store.stages(pipeline, run.number) for run in runs if run.state is RunState.RUNNING}
        return cls(
            daemon=daemon,
            worker=worker,
            runs=runs,
            stages={number: found[-1].name for number, found in stages.items() if found},
            closed=store.transitions.closed(pipeline),
            findings=_amiss(store, pipeline, daemon) if daemon else (),
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


def _amiss(store: Store, pipeline: str, daemon: LockHolder) -> Sequence[str]:
    """What was found since it was last as it should be; what an earlier process has found says nothing now."""
    found: list[str] = []
    for event in store.events(pipeline, limit=_EVENTS):
        if event.kind == "upkeep.mended" or event.at < daemon.since:
            found = []
        elif event.kind == "upkeep.found":
            found.append(event.message)
        elif event.kind == "upkeep.failed":
            found = [*(text for text in found if not text.startswith(_FAILED)), f"{_FAILED}{event.message}"]
    return found
