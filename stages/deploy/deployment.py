"""A deployment: its row in the store from start to end, and its rollback."""

from __future__ import annotations

import threading
from collections.abc import Collection, Mapping
from dataclasses import replace
from types import TracebackType
from typing import NoReturn, Protocol, Self

from pipeline.api import StageContext
from pipeline.balancer.balancer import Balancer
from pipeline.base.errors import (
    Cancelled,
    PenstockError,
    RollbackFailed,
    RolledBack,
    StageFailed,
    StoreFault,
    SystemFault,
)
from pipeline.config.release import ReleaseSpec
from pipeline.engine.cluster import ClusterSpec
from pipeline.event_kinds import EventKind
from pipeline.store import records
from pipeline.store.deployment_answers import Abort
from pipeline.store.records import DeploymentState, Release
from stages.deploy.desired import active_replicas
from stages.deploy.interruption import Interruption
from stages.deploy.stored_progress import StoredProgress
from stages.deploy.traffic_return import return_traffic


class Rollout(Protocol):
    """The steps that restore the previous release. `ReleaseRollout` describes both methods."""

    def roll_out(
        self, spec: ReleaseSpec, release: int, replicas: Mapping[str, int], cancelled: threading.Event | None = None
    ) -> None:
        """Make `spec` the only release in service."""

    def fall_back(self) -> None:
        """Place replicas on the hosts of before the deployment."""

    def tear_down(self) -> int:
        """Remove every replica."""


class Deployment:
    """One move from the active release to another, to other numbers of replicas, or to nothing.

    The only writer of its outcome. `replicas` is the number of each service after a success, None for `pipeline down`.
    `declared` has the numbers in pipeline.yaml: another number of replicas lasts until they change. A rollback declares
    nothing, so it keeps the numbers, and scaled ones as well. `scaling` has the policies of auto scaling after a
    success, None to keep the previous ones. The replicas of the services in `restarts` are replaced. `cluster` is where
    they are after a success, None to keep them where they are.

    If an error leaves the block, the row becomes `failed` with the reason. The row stays open in four cases, and the
    next command then restores the last good release: after `leave_open`, if the store fails, after an unknown error (a
    bug, which may have interrupted a move), and if the process ends (`KeyboardInterrupt`, `SystemExit`, a kill).
    Leaving the block without an outcome is a bug of the caller.
    """

    def __init__(
        self,
        context: StageContext,
        row: records.Deployment,
        active: Release | None,
        replicas: Mapping[str, int] | None = None,
        declared: Mapping[str, int | None] | None = None,
        *,
        scaling: Mapping[str, str] | None = None,
        restarts: Collection[str] = (),
        is_resumed: bool = False,
        cluster: ClusterSpec | None = None,
    ) -> None:
        self._context = context
        self._interruption = Interruption.of(context, row)
        self._row = row
        self._active = active
        self._replicas = replicas
        self._declared = declared
        self._scaling = scaling
        self._restarts = restarts
        self._previous_replicas = active_replicas(context, active)
        self._moves_hosts = cluster is not None and cluster != context.store.clusters.settled(row.pipeline)
        self._decided = False
        self._returned: tuple[str, ...] = ()
        self.is_resumed = is_resumed
        """Whether a process that died has begun it, and this one continues it."""

    @property
    def stored(self) -> StoredProgress:
        """How far its services are, from which a process that continues it goes on."""
        return StoredProgress(self._context.store.progress, self._row, self._context.store.deployment_answers)

    @classmethod
    def begin(
        cls,
        context: StageContext,
        active: Release | None,
        to: Release | None,
        replicas: Mapping[str, int] | None = None,
        declared: Mapping[str, int | None] | None = None,
        *,
        scaling: Mapping[str, str] | None = None,
        restarts: Collection[str] = (),
        strategy: str = "",
        cluster: ClusterSpec | None = None,
    ) -> Self:
        """Open the row, before any container or target changes. `to` is None for `pipeline down`.

        `cluster` is where the replicas are after a success, None if that does not change.
        """
        before, after = active.number if active else None, to.number if to else None
        pipeline = context.configuration.pipeline.name
        row = context.store.deployments.begin(pipeline, context.run, before, after, strategy, cluster)
        return cls(context, row, active, replicas, declared, scaling=scaling, restarts=restarts, cluster=cluster)

    @classmethod
    def adopt(
        cls,
        context: StageContext,
        row: records.Deployment,
        replicas: Mapping[str, int],
        declared: Mapping[str, int | None],
        *,
        scaling: Mapping[str, str],
        cluster: ClusterSpec,
    ) -> Self:
        """Continue with the open row of a process that died, in the step in which it died."""
        adopted = context.store.deployments.adopt(row, context.run, cluster)
        active = context.store.releases.active(row.pipeline)
        return cls(context, adopted, active, replicas, declared, scaling=scaling, is_resumed=True, cluster=cluster)

    @classmethod
    def resume(cls, context: StageContext, row: records.Deployment) -> Self:
        """Take over the open row of a process that died, to undo or complete its deployment."""
        return cls(context, row, context.store.releases.active(row.pipeline))

    @property
    def context(self) -> StageContext:
        """The context of its steps, which `pipeline abort` ends as a cancellation does."""
        return replace(self._context, cancelled=self._interruption)

    def explain(self, failure: PenstockError) -> PenstockError:
        """Return the reason of a failure: the user's order if the deployment was aborted."""
        if self.abort is None or not isinstance(failure, Cancelled):
            return failure
        return StageFailed(self.abort.reason)

    @property
    def abort(self) -> Abort | None:
        """The user's order to roll back, None without one. A cancelled run goes before it."""
        return None if self._interruption.is_cancelled else self._interruption.abort

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._decided:
            return
        if error is None:
            self._finish(DeploymentState.FAILED, "no outcome")
            raise RuntimeError("a deployment ended without an outcome")
        if isinstance(error, PenstockError) and not isinstance(error, StoreFault):
            self._finish(DeploymentState.FAILED, error.message)

    def succeed(self) -> None:
        """Close the row, make the new release the active one and set its replicas, all in one transaction."""
        self._finish(DeploymentState.SUCCEEDED)

    def interrupt(self) -> None:
        """Close the row of a process that died, after its deployment was undone."""
        self._finish(DeploymentState.INTERRUPTED)

    def fail(self, failure: PenstockError) -> NoReturn:
        """Close the row and raise `failure`. No target was moved, so the active release stays."""
        self._finish(DeploymentState.FAILED, failure.message)
        failure.message += f"; release {self._active.number} stays active" if self._active else ""
        raise failure

    def leave_open(self, failure: SystemFault) -> NoReturn:
        """Raise `failure`. The row stays open, and the next command continues from it."""
        self._decided = True
        raise failure

    def roll_back(self, failure: PenstockError, rollout: Rollout) -> NoReturn:
        """Restore the previous release, with its numbers of replicas, and raise the resulting error.

        If the rollback fails too and `failure` is a system fault, the row stays open and `failure` is raised.
        """
        if self._changes_nothing():
            self._finish(DeploymentState.FAILED, failure.message)
            raise failure
        self.undo()
        try:
            self._put_back(rollout)
        except PenstockError as second:
            if isinstance(failure, SystemFault):
                failure.hint = f"{failure.hint or 'repair the fault'}; the next command restores the last good release"
                self.leave_open(failure)
            self._finish(DeploymentState.FAILED, second.message)
            raise RollbackFailed(
                f"{failure.message}; the rollback failed too: {second.message}",
                hint="`pipeline status` shows the targets; nothing is retried automatically",
                tail=failure.tail,
            ) from second
        self._finish(DeploymentState.ROLLED_BACK, failure.message)
        raise _error_after(failure, self._active)

    def return_traffic(self, balancer: Balancer) -> None:
        """Give the previous release all requests again if it is all there. See `traffic_return`.

        Call it as soon as the deployment has failed: reporting and storing that may fail too.
        """
        if self._active is not None:
            spec = ReleaseSpec.parse(self._active.spec)
            self._returned = return_traffic(balancer, self._row.pipeline, spec, self._previous_replicas)

    def undo(self) -> None:
        """Store that it is being undone, before any container goes. No process continues it from here on."""
        self._context.store.progress.undo(self._row)
        self._context.store.deployment_answers.end_all(self._row.id)
        for service in self._returned:
            text = f"{service}: the previous target group gets all requests again"
            self._context.events.emit(EventKind.SHIFT_RETURNED, text, service=service, share=0.0)

    def _changes_nothing(self) -> bool:
        """Return whether it deploys what is already active, so a rollback would change nothing."""
        same_release = self._active is not None and self._active.number == self._row.to_release
        same_replicas = self._replicas == self._previous_replicas
        return same_release and same_replicas and not self._restarts and not self._moves_hosts

    def _put_back(self, rollout: Rollout) -> None:
        rollout.fall_back()
        if self._active is None:
            rollout.tear_down()
            return
        self._context.events.emit(EventKind.ROLLBACK_STARTED, f"rolling back to release {self._active.number}")
        rollout.roll_out(ReleaseSpec.parse(self._active.spec), self._active.number, self._previous_replicas)

    def _finish(self, state: DeploymentState, reason: str = "") -> None:
        # Set first: if the store fails, the row stays open, and no second outcome is written over a lost one.
        self._decided = True
        # The reason may quote what a container printed.
        printable = self._context.events.printable(reason)
        self._context.store.deployments.finish(
            self._row, state, printable, wanted=self._replicas, declared=self._declared, scaling=self._scaling
        )


def _error_after(failure: PenstockError, active: Release | None) -> PenstockError:
    """Return the error of a failed deployment whose previous release is restored."""
    after = f"release {active.number} is active again" if active else "no release was active before, so it was removed"
    if isinstance(failure, SystemFault):
        failure.message += f"; {after}"
        return failure
    if isinstance(failure, Cancelled):
        return Cancelled(f"cancelled; {after}")
    kind = StageFailed if active is None else RolledBack
    return kind(f"{failure.message}; {after}", hint=failure.hint, tail=failure.tail)
