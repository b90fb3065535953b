"""Scalable targets: the services whose number of replicas is scaled automatically."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from pipeline.store.database import Database
from pipeline.store.rows import now, optional_time
from pipeline.store.services import set_wanted


@dataclass(frozen=True)
class ScalableTarget:
    """A service with a policy. `policy`, `state` and `decision` are JSON: see `pipeline.scaling`.

    `decision` is the last one, empty before the first one. `suspended_at` is None unless scaling is suspended.
    """

    pipeline: str
    service: str
    policy: str
    state: str
    decision: str
    suspended_at: datetime | None


class Scaling:
    """The scalable targets of all pipelines. Every method is one transaction and raises `StoreFault`."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def targets(self, pipeline: str) -> tuple[ScalableTarget, ...]:
        """Return the services of the last deployment that have a policy. Cheap enough to call every second."""
        rows = self._db.rows("SELECT * FROM scalable_targets WHERE pipeline=? ORDER BY service", pipeline)
        return tuple(_target_from_row(row) for row in rows)

    def policies(self, pipeline: str) -> dict[str, str]:
        """Return the policy of each service, as JSON."""
        return {target.service: target.policy for target in self.targets(pipeline)}

    def record(self, target: ScalableTarget, state: str, decision: str) -> None:
        """Store a decision that changes no number."""
        with self._db.transaction() as db:
            _record(db, target, state, decision)

    def set_count(self, target: ScalableTarget, before: int, after: int, state: str, decision: str) -> bool:
        """Store a decision and the number of replicas that it wants, `after` in place of `before`.

        Changes nothing and returns False while a deployment is open, and if the number, the policy or the suspension
        has changed since the decision.
        """
        key = (target.pipeline, target.service)
        with self._db.transaction() as db:
            open_sql = "SELECT 1 FROM deployments WHERE pipeline=? AND state='running'"
            same_sql = (
                "SELECT 1 FROM scalable_targets WHERE pipeline=? AND service=? AND policy=? AND suspended IS NULL"
            )
            wanted_sql = "SELECT 1 FROM services WHERE pipeline=? AND name=? AND wanted=?"
            if (
                db.execute(open_sql, key[:1]).fetchone()
                or not db.execute(same_sql, (*key, target.policy)).fetchone()
                or not db.execute(wanted_sql, (*key, before)).fetchone()
            ):
                return False
            _record(db, target, state, decision)
            set_wanted(db, *key, after)
        return True

    def suspend(self, pipeline: str, service: str) -> bool:
        """Change the number no more. Returns False if it was suspended before, or if the service has no policy."""
        sql = "UPDATE scalable_targets SET suspended=? WHERE pipeline=? AND service=? AND suspended IS NULL"
        with self._db.transaction() as db:
            return db.execute(sql, (now(), pipeline, service)).rowcount > 0

    def resume(self, pipeline: str, service: str) -> bool:
        """Change the number again. Returns False if it was not suspended."""
        sql = "UPDATE scalable_targets SET suspended=NULL WHERE pipeline=? AND service=? AND suspended IS NOT NULL"
        with self._db.transaction() as db:
            return db.execute(sql, (pipeline, service)).rowcount > 0


def set_policies(db: sqlite3.Connection, pipeline: str, policies: Mapping[str, str]) -> None:
    """Store the policies of a deployment in the transaction of the caller, in place of all previous ones.

    A service that had a policy before keeps what the controller remembers, and its suspension.
    """
    for (service,) in db.execute("SELECT service FROM scalable_targets WHERE pipeline=?", (pipeline,)).fetchall():
        if service not in policies:
            db.execute("DELETE FROM scalable_targets WHERE pipeline=? AND service=?", (pipeline, service))
    for service, policy in policies.items():
        db.execute(
            "INSERT INTO scalable_targets (pipeline, service, policy) VALUES (?,?,?) "
            "ON CONFLICT (pipeline, service) DO UPDATE SET policy=excluded.policy",
            (pipeline, service, policy),
        )


def _record(db: sqlite3.Connection, target: ScalableTarget, state: str, decision: str) -> None:
    db.execute(
        "UPDATE scalable_targets SET state=?, decision=? WHERE pipeline=? AND service=?",
        (state, decision, target.pipeline, target.service),
    )


def _target_from_row(row: sqlite3.Row) -> ScalableTarget:
    return ScalableTarget(
        pipeline=row["pipeline"],
        service=row["service"],
        policy=row["policy"],
        state=row["state"],
        decision=row["decision"] or "",
        suspended_at=optional_time(row["suspended"]),
    )
