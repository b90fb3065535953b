"""Deployments and their progress."""

from __future__ import annotations

import json
import sqlite3

from pipeline.store.database import Database
from pipeline.store.records import Deployment, DeploymentState, Progress, ReleaseState
from pipeline.store.rows import deployment_from_row, now, progress_from_row


class Deployments:
    """The deployments of all pipelines. At most one per pipeline is open.

    Every method is one transaction and raises `StoreFault`.
    """

    def __init__(self, database: Database) -> None:
        self._db = database

    def begin(self, pipeline: str, run: int, from_release: int | None, to_release: int | None) -> Deployment:
        """Add an open deployment. It is on disk before any container or target changes."""
        with self._db.transaction() as db:
            db.execute(
                "INSERT INTO deployments (pipeline, run, from_release, to_release, state, started_at) "
                "VALUES (?,?,?,?,?,?)",
                (pipeline, run, from_release, to_release, DeploymentState.RUNNING, now()),
            )
        deployment = self.open(pipeline)
        assert deployment is not None
        return deployment

    def open(self, pipeline: str) -> Deployment | None:
        """Return the deployment in progress, or the one whose process died; None without either."""
        row = self._db.row("SELECT * FROM deployments WHERE pipeline=? AND state='running'", pipeline)
        return deployment_from_row(row) if row else None

    def advance(self, deployment: Deployment, service: str, progress: Progress) -> None:
        """Store the progress of one service, in place of its previous one.

        It is on disk when this returns. Callers store a step before they take its first action.
        """
        values = {
            "deployment": deployment.id,
            "service": service,
            "strategy": progress.strategy,
            "step": progress.step,
            "detail": json.dumps(dict(progress.detail)),
            "boot": progress.since.boot,
            "seconds": progress.since.seconds,
            "wall": progress.since.wall.isoformat(),
        }
        columns, marks = ", ".join(values), ", ".join("?" * len(values))
        sql = f"INSERT OR REPLACE INTO deployment_progress ({columns}) VALUES ({marks})"  # noqa: S608
        with self._db.transaction() as db:
            db.execute(sql, tuple(values.values()))

    def progress(self, deployment: Deployment) -> dict[str, Progress]:
        """Return the latest progress of each service that has any."""
        rows = self._db.rows("SELECT * FROM deployment_progress WHERE deployment=?", deployment.id)
        return {row["service"]: progress_from_row(row) for row in rows}

    def finish(self, deployment: Deployment, state: DeploymentState, reason: str = "") -> None:
        """Store the outcome of a deployment and the release that is active now, in one transaction."""
        with self._db.transaction() as db:
            db.execute(
                "UPDATE deployments SET state=?, reason=?, finished_at=? WHERE id=?",
                (state, reason, now(), deployment.id),
            )
            if state is DeploymentState.SUCCEEDED:
                _mark(db, deployment.pipeline, deployment.from_release, ReleaseState.RETIRED)
                _mark(db, deployment.pipeline, deployment.to_release, ReleaseState.ACTIVE)
            elif deployment.to_release != deployment.from_release:
                db.execute(
                    "UPDATE releases SET state='failed' WHERE pipeline=? AND number=? AND state='pending'",
                    (deployment.pipeline, deployment.to_release),
                )


def _mark(db: sqlite3.Connection, pipeline: str, number: int | None, state: ReleaseState) -> None:
    db.execute("UPDATE releases SET state=? WHERE pipeline=? AND number=?", (state, pipeline, number))
