"""Deployments."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime

from pipeline.engine.cluster import ClusterSpec
from pipeline.store.clusters import begin_cluster, fall_back, settle_cluster
from pipeline.store.database import Database
from pipeline.store.deployment_progress import forget_progress
from pipeline.store.records import Deployment, DeploymentState, ReleaseState
from pipeline.store.rows import deployment_from_row, now
from pipeline.store.scaling import set_policies
from pipeline.store.services import forget_scales, set_scale, set_wanted

_OPEN = """
SELECT deployments.*, strategy FROM deployments LEFT JOIN deployment_strategies USING (pipeline, run)
WHERE pipeline=? AND state='running'
"""


class Deployments:
    """The deployments of all pipelines. At most one per pipeline is open.

    Every method is one transaction and raises `StoreFault`.
    """

    def __init__(self, database: Database) -> None:
        self._db = database

    def begin(
        self,
        pipeline: str,
        run: int,
        from_release: int | None,
        to_release: int | None,
        strategy: str = "",
        cluster: ClusterSpec | None = None,
    ) -> Deployment:
        """Add an open deployment. It is on disk before any container or target changes.

        `cluster` is where it puts the replicas, and where they stay after a success. None: where they are.
        """
        with self._db.transaction() as db:
            db.execute(
                "INSERT INTO deployments (pipeline, run, from_release, to_release, state, started_at) "
                "VALUES (?,?,?,?,?,?)",
                (pipeline, run, from_release, to_release, DeploymentState.RUNNING, now()),
            )
            _set_strategy(db, pipeline, run, strategy)
            if cluster is not None:
                begin_cluster(db, pipeline, cluster)
        deployment = self.open(pipeline)
        assert deployment is not None
        return deployment

    def adopt(self, deployment: Deployment, run: int, cluster: ClusterSpec | None = None) -> Deployment:
        """Let another run continue an open deployment in its own `cluster`, and return it. None keeps it."""
        with self._db.transaction() as db:
            db.execute("UPDATE deployments SET run=? WHERE id=?", (run, deployment.id))
            _set_strategy(db, deployment.pipeline, run, deployment.strategy)
            if cluster is not None:
                begin_cluster(db, deployment.pipeline, cluster)
        return replace(deployment, run=run)

    def strategies(self, pipeline: str, runs: Iterable[int]) -> dict[int, str]:
        """Return the strategy of the deployment of each run from the first of these on."""
        found = self._db.rows(
            "SELECT run, strategy FROM deployment_strategies WHERE pipeline=? AND run>=?",
            pipeline,
            min(runs, default=0),
        )
        return {row["run"]: row["strategy"] for row in found}

    def open(self, pipeline: str) -> Deployment | None:
        """Return the deployment in progress, or the one whose process died; None without either."""
        row = self._db.row(_OPEN, pipeline)
        return deployment_from_row(row) if row else None

    def of_run(self, pipeline: str, run: int) -> Deployment | None:
        """Return the latest deployment of a run, open or over, or None."""
        row = self._db.row(
            "SELECT deployments.*, strategy FROM deployments LEFT JOIN deployment_strategies USING (pipeline, run) "
            "WHERE pipeline=? AND run=? ORDER BY id DESC",
            *(pipeline, run),
        )
        return deployment_from_row(row) if row else None

    def between(self, pipeline: str | None, begin: datetime, end: datetime) -> list[Deployment]:
        """Return the deployments of a pipeline that were in progress between two times, oldest first. None: of all."""
        rows = self._db.rows(
            "SELECT deployments.*, strategy FROM deployments LEFT JOIN deployment_strategies USING (pipeline, run) "
            "WHERE (? IS NULL OR pipeline=?) AND started_at<? AND (finished_at IS NULL OR finished_at>=?) ORDER BY id",
            *(pipeline, pipeline, end.isoformat(), begin.isoformat()),
        )
        return [deployment_from_row(row) for row in rows]

    def finish(
        self,
        deployment: Deployment,
        state: DeploymentState,
        reason: str = "",
        *,
        wanted: Mapping[str, int] | None = None,
        declared: Mapping[str, int | None] | None = None,
        scaling: Mapping[str, str] | None = None,
    ) -> None:
        """Store the outcome of a deployment and what is active now, in one transaction.

        A success makes its release active, settles its cluster, and stores the number of replicas of each service in
        `wanted`. Otherwise the cluster is that of before. `declared` has
        the numbers in pipeline.yaml: a different one in `wanted` lasts until these change. None ends that, and so does
        a deployment to nothing. `scaling` has the policies of auto scaling, which replace the previous ones. None keeps
        those, except after a deployment to nothing.
        """
        with self._db.transaction() as db:
            forget_progress(db, deployment)
            db.execute(
                "UPDATE deployments SET state=?, reason=?, finished_at=? WHERE id=?",
                (state, reason, now(), deployment.id),
            )
            if state is DeploymentState.SUCCEEDED:
                _succeed(db, deployment, wanted or {}, declared or {}, scaling)
                settle_cluster(db, deployment.pipeline, is_down=deployment.to_release is None)
                return
            fall_back(db, deployment.pipeline)
            if deployment.to_release != deployment.from_release:
                _fail(db, deployment)


def _succeed(
    db: sqlite3.Connection,
    deployment: Deployment,
    wanted: Mapping[str, int],
    declared: Mapping[str, int | None],
    scaling: Mapping[str, str] | None,
) -> None:
    """Make the new release the active one, and store its numbers of replicas and policies. See `finish`."""
    _mark(db, deployment.pipeline, deployment.from_release, ReleaseState.RETIRED)
    _mark(db, deployment.pipeline, deployment.to_release, ReleaseState.ACTIVE)
    for service, count in wanted.items():
        set_wanted(db, deployment.pipeline, service, count)
    if deployment.to_release is None:
        forget_scales(db, deployment.pipeline)
        set_policies(db, deployment.pipeline, {})
    for service, number in declared.items():
        set_scale(db, deployment.pipeline, service, number, wanted.get(service, 0))
    if scaling is not None:
        set_policies(db, deployment.pipeline, scaling)


def _fail(db: sqlite3.Connection, deployment: Deployment) -> None:
    """Mark a release that never was active as failed."""
    db.execute(
        "UPDATE releases SET state='failed' WHERE pipeline=? AND number=? AND state='pending'",
        (deployment.pipeline, deployment.to_release),
    )


def _set_strategy(db: sqlite3.Connection, pipeline: str, run: int, strategy: str) -> None:
    if strategy:
        db.execute("INSERT OR REPLACE INTO deployment_strategies VALUES (?,?,?)", (pipeline, run, strategy))


def _mark(db: sqlite3.Connection, pipeline: str, number: int | None, state: ReleaseState) -> None:
    db.execute("UPDATE releases SET state=? WHERE pipeline=? AND number=?", (state, pipeline, number))
