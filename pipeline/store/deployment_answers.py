"""What deployments wait for, and the answers of users: `pipeline promote` and `pipeline abort`."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from datetime import datetime, timedelta

from pipeline.base.clock import Stamp
from pipeline.store.database import Database
from pipeline.store.rows import now, parse_time


@dataclass(frozen=True)
class DeploymentWait:
    """A pause or a bake time of a service in a deployment.

    `name` identifies it within the service, such as `AfterInstall[0]`. `description` is a phrase for users, such as
    `the pause in AfterInstall`. Without a `timeout` it ends by an answer only. `promoted_by` is None until then.
    """

    deployment: int
    service: str
    name: str
    description: str
    since: Stamp
    timeout: timedelta | None
    promoted_by: str | None = None

    @property
    def is_pause(self) -> bool:
        """True for the pause of a hook. A bake time has no time-out."""
        return self.timeout is not None


@dataclass(frozen=True)
class Abort:
    """The order to roll a deployment back."""

    by: str
    comment: str
    at: datetime

    @property
    def reason(self) -> str:
        """The reason of the run's outcome."""
        return f"aborted by {self.by}{f': {self.comment}' if self.comment else ''}"


class DeploymentAnswers:
    """The waits of deployments in progress, and their answers. The first answer to each counts.

    The process that works on a deployment calls `begin`, polls `promoted_by`, and calls `end`. After a kill, `begin`
    returns the wait as it was stored, with its start and its answer. Every method is one transaction and raises
    `StoreFault`.
    """

    def __init__(self, database: Database) -> None:
        self._db = database

    def begin(
        self,
        deployment: int,
        service: str,
        name: str,
        description: str,
        since: Stamp,
        timeout: timedelta | None = None,
    ) -> DeploymentWait:
        """Store that a deployment waits from now on, or return the wait of this name that is stored."""
        seconds = None if timeout is None else timeout.total_seconds()
        with self._db.transaction() as db:
            db.execute(
                "INSERT OR IGNORE INTO deployment_waits (deployment, service, name, description, since, timeout) "
                "VALUES (?,?,?,?,?,?)",
                (deployment, service, name, description, str(since), seconds),
            )
        row = self._db.row(
            "SELECT * FROM deployment_waits WHERE deployment=? AND service=? AND name=?", deployment, service, name
        )
        assert row is not None
        return _wait(row)

    def promoted_by(self, wait: DeploymentWait) -> str | None:
        """Return the user who has ended the wait, or None."""
        row = self._db.row(
            "SELECT promoted_by FROM deployment_waits WHERE deployment=? AND service=? AND name=?",
            *(wait.deployment, wait.service, wait.name),
        )
        return row["promoted_by"] if row else None

    def has_promoted_bake(self, deployment: int, service: str) -> bool:
        """Return whether a user has ended a bake time of a service in a deployment.

        Pauses of hooks do not count, and neither does the time of copies.
        """
        # Only these have no time-out.
        row = self._db.row(
            "SELECT 1 FROM deployment_waits "
            "WHERE deployment=? AND service=? AND timeout IS NULL AND promoted_by IS NOT NULL "
            "AND name NOT LIKE 'mirror[%'",
            *(deployment, service),
        )
        return row is not None

    def is_promoted(self, deployment: int) -> bool:
        """Return whether a user has ended a wait of a deployment, and its process has not continued yet."""
        row = self._db.row(
            "SELECT 1 FROM deployment_waits WHERE deployment=? AND promoted_by IS NOT NULL AND NOT over", deployment
        )
        return row is not None

    def end(self, wait: DeploymentWait) -> None:
        """Store that the deployment continues. It cannot be promoted any more."""
        with self._db.transaction() as db:
            db.execute(
                "UPDATE deployment_waits SET over=1 WHERE deployment=? AND service=? AND name=?",
                (wait.deployment, wait.service, wait.name),
            )

    def end_all(self, deployment: int) -> None:
        """Store that a deployment waits for nothing any more, because it is being undone."""
        with self._db.transaction() as db:
            db.execute("UPDATE deployment_waits SET over=1 WHERE deployment=?", (deployment,))

    def waiting(self, pipeline: str) -> list[DeploymentWait]:
        """Return what the deployment in progress waits for, also if its process has died."""
        rows = self._db.rows(
            "SELECT w.* FROM deployment_waits w JOIN deployments d ON d.id=w.deployment "
            "WHERE d.pipeline=? AND d.state='running' AND NOT w.over ORDER BY w.service, w.name",
            pipeline,
        )
        return [_wait(row) for row in rows]

    def promote(self, wait: DeploymentWait, by: str) -> str | None:
        """End a wait. Return the user whose answer counts, or None if the deployment has continued already."""
        key = (wait.deployment, wait.service, wait.name)
        with self._db.transaction() as db:
            db.execute(
                "UPDATE deployment_waits SET promoted_by=coalesce(promoted_by, ?) "
                "WHERE deployment=? AND service=? AND name=? AND NOT over",
                (by, *key),
            )
            row = db.execute(
                "SELECT promoted_by FROM deployment_waits WHERE deployment=? AND service=? AND name=? AND NOT over", key
            ).fetchone()
        return row["promoted_by"] if row else None

    def abort(self, deployment: int, by: str, comment: str = "") -> Abort | None:
        """Order the rollback of a deployment. Return the order that counts, or None if it has ended already."""
        with self._db.transaction() as db:
            db.execute(
                "INSERT OR IGNORE INTO deployment_aborts (deployment, by, comment, at) "
                "SELECT id, ?, ?, ? FROM deployments WHERE id=? AND state='running'",
                (by, comment, now(), deployment),
            )
            row = db.execute(
                "SELECT a.* FROM deployment_aborts a JOIN deployments d ON d.id=a.deployment "
                "WHERE d.id=? AND d.state='running'",
                (deployment,),
            ).fetchone()
        return _abort(row) if row else None

    def aborted(self, deployment: int) -> Abort | None:
        """Return the order to roll a deployment back, or None. Cheap enough to call every half second."""
        row = self._db.row("SELECT * FROM deployment_aborts WHERE deployment=?", deployment)
        return _abort(row) if row else None

    def abort_of_run(self, pipeline: str, run: int) -> Abort | None:
        """Return the order to roll back the latest deployment of a run, also if that has ended. None without one."""
        row = self._db.row(
            "SELECT a.* FROM deployments d LEFT JOIN deployment_aborts a ON a.deployment=d.id "
            "WHERE d.pipeline=? AND d.run=? ORDER BY d.id DESC",
            *(pipeline, run),
        )
        return _abort(row) if row and row["deployment"] is not None else None


def _wait(row: sqlite3.Row) -> DeploymentWait:
    return DeploymentWait(
        row["deployment"],
        row["service"],
        row["name"],
        row["description"],
        Stamp.from_text(row["since"]),
        None if row["timeout"] is None else timedelta(seconds=row["timeout"]),
        row["promoted_by"],
    )


def _abort(row: sqlite3.Row) -> Abort:
    return Abort(row["by"], row["comment"], parse_time(row["at"]))
