"""How far each service of an open deployment is, from which a deployment continues after a kill."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from pipeline.base.clock import Stamp
from pipeline.store.database import Database
from pipeline.store.records import Deployment


class ShiftPhase(StrEnum):
    """A phase of a service's deployment.

    `install`: the new release starts beside the previous one. `mirror`: it gets copies of requests. `shift`: the
    traffic moves step by step. `retire`: the previous release is drained, which is not undone. `home`: the new replicas
    move to the home group. `bake`: a rolling deployment has replaced all replicas and waits. `undo`: everything is
    taken back.
    """

    INSTALL = "install"
    MIRROR = "mirror"
    SHIFT = "shift"
    RETIRE = "retire"
    HOME = "home"
    BAKE = "bake"
    UNDO = "undo"
    DONE = "done"


@dataclass(frozen=True)
class ServiceProgress:
    """How far the deployment of one service is.

    `step` counts the steps of its strategy from 0, of `steps`. `share` is the percentage of requests that the new
    release gets in this step, for `bake_time`, of which `baked` is over. In the phase `mirror` these are the times of
    the copies. `since` is the start of the step. `hooks_done` is the last event of the life cycle whose hooks have all
    succeeded, empty before the first.
    """

    service: str
    strategy: str
    phase: ShiftPhase
    since: Stamp
    step: int = 0
    steps: int = 0
    share: float = 0.0
    bake_time: timedelta = timedelta(0)
    baked: timedelta = timedelta(0)
    hooks_done: str = ""

    def describe(self) -> str:
        """Return where the deployment is, as the predicate of a sentence about the service."""
        if self.phase is not ShiftPhase.SHIFT:
            return _PREDICATES[self.phase]
        return f"is in step {self.step + 1} of {self.steps} of {self.strategy}, with {self.share:g} % of the requests"

    @property
    def waits_for(self) -> str:
        """What the deployment of the service waits for, in words. Empty if it is done."""
        if self.phase in _TIMED and self.bake_time:
            baked = timedelta(seconds=int(self.baked.total_seconds()))
            return f"{_TIMED[self.phase]}, {baked} of {self.bake_time}"
        return _WAITS_FOR[self.phase]


def describe_moving(services: Iterable[ServiceProgress]) -> str:
    """Return where the services are that are not done, after a colon. Empty if there are none."""
    moving = [f"{found.service} {found.describe()}" for found in services if found.phase is not ShiftPhase.DONE]
    return f": {'; '.join(moving)}" if moving else ""


_TIMED = {
    ShiftPhase.MIRROR: "the end of the copies",
    ShiftPhase.SHIFT: "its bake time",
    ShiftPhase.BAKE: "its bake time",
}
_PREDICATES = {
    ShiftPhase.INSTALL: "starts beside the previous release and gets no requests yet",
    ShiftPhase.MIRROR: "gets copies of requests and no request of a client yet",
    ShiftPhase.RETIRE: "has all requests, and the previous containers are being removed",
    ShiftPhase.HOME: "has all requests and moves to its own target group",
    ShiftPhase.BAKE: "has replaced all containers",
    ShiftPhase.UNDO: "is being rolled back",
    ShiftPhase.DONE: "is done",
}
_WAITS_FOR = {
    ShiftPhase.INSTALL: "healthy containers of the new release",
    ShiftPhase.MIRROR: "healthy containers of the new release",
    ShiftPhase.SHIFT: "healthy containers of the new release",
    ShiftPhase.RETIRE: "the drain of the previous containers",
    ShiftPhase.HOME: "healthy targets in its own target group",
    ShiftPhase.BAKE: "healthy containers of the new release",
    ShiftPhase.UNDO: "healthy containers of the previous release, and the drain of the others",
    ShiftPhase.DONE: "",
}


class DeploymentProgress:
    """The progress of open deployments. A deployment that ends has none any more.

    Every method is one transaction and raises `StoreFault`.
    """

    def __init__(self, database: Database) -> None:
        self._db = database

    def all(self, deployment: Deployment) -> list[ServiceProgress]:
        """Return the progress of each service that has begun to move, in the order of its deployment."""
        rows = self._db.rows(
            "SELECT * FROM deployment_progress WHERE pipeline=? AND deployment=? ORDER BY position",
            deployment.pipeline,
            deployment.id,
        )
        return [_from_row(row) for row in rows]

    def of(self, deployment: Deployment, service: str) -> ServiceProgress | None:
        """Return the progress of a service, None if it has not begun to move."""
        return next((found for found in self.all(deployment) if found.service == service), None)

    def set(self, deployment: Deployment, progress: ServiceProgress) -> None:
        """Store the progress of a service. On disk when this returns."""
        values = {
            "pipeline": deployment.pipeline,
            "deployment": deployment.id,
            "service": progress.service,
            "strategy": progress.strategy,
            "phase": progress.phase,
            "since": str(progress.since),
            "step": progress.step,
            "steps": progress.steps,
            "share": progress.share,
            "bake_time": progress.bake_time.total_seconds(),
            "baked": progress.baked.total_seconds(),
            "hooks_done": progress.hooks_done,
        }
        columns, marks = ", ".join(values), ", ".join(f":{name}" for name in values)
        changes = ", ".join(f"{name}=:{name}" for name in list(values)[3:])
        with self._db.transaction() as db:
            db.execute(
                f"INSERT INTO deployment_progress (position, {columns}) VALUES ((SELECT count(*) FROM "  # noqa: S608
                f"deployment_progress WHERE pipeline=:pipeline AND deployment=:deployment), {marks}) "
                f"ON CONFLICT (pipeline, deployment, service) DO UPDATE SET {changes}",
                values,
            )

    def undo(self, deployment: Deployment) -> None:
        """Store that a deployment is being undone, so that nothing continues it."""
        with self._db.transaction() as db:
            db.execute(
                "UPDATE deployment_progress SET phase=? WHERE pipeline=? AND deployment=?",
                (ShiftPhase.UNDO, deployment.pipeline, deployment.id),
            )

    def can_continue(self, deployment: Deployment) -> bool:
        """Return whether a deployment has begun to move traffic and is not being undone."""
        phases = {found.phase for found in self.all(deployment)}
        return bool(phases) and ShiftPhase.UNDO not in phases


def forget_progress(db: sqlite3.Connection, deployment: Deployment) -> None:
    """Delete the progress of a deployment that ends, in the transaction of its end."""
    db.execute(
        "DELETE FROM deployment_progress WHERE pipeline=? AND deployment=?", (deployment.pipeline, deployment.id)
    )


def _from_row(row: sqlite3.Row) -> ServiceProgress:
    return ServiceProgress(
        service=row["service"],
        strategy=row["strategy"],
        phase=ShiftPhase(row["phase"]),
        since=Stamp.from_text(row["since"]),
        step=row["step"],
        steps=row["steps"],
        share=row["share"],
        bake_time=timedelta(seconds=row["bake_time"]),
        baked=timedelta(seconds=row["baked"]),
        hooks_done=row["hooks_done"],
    )
