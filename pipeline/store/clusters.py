"""The cluster of each pipeline: the hosts that take replicas, and those that may still have some."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pipeline.engine.cluster import ClusterSpec
from pipeline.engine.host import HostSpec
from pipeline.store.cluster_record import drained_in, dump_cluster, joined, load_cluster, others_than
from pipeline.store.database import Database
from pipeline.store.rows import now


class Clusters:
    """The clusters of all pipelines. A deployment changes them: see `begin_cluster`. Raises `StoreFault`.

    A host leaves in two steps. A deployment that no longer has it lets it take no replicas. It is forgotten when it is
    known to be empty.
    """

    def __init__(self, database: Database) -> None:
        self._db = database

    def of(self, pipeline: str) -> ClusterSpec:
        """Return every host that may have replicas of a pipeline. Cheap enough to call every second.

        The hosts that the last successful deployment set take replicas, except drained ones.
        """
        row = self._db.row("SELECT * FROM clusters WHERE pipeline=?", pipeline)
        if row is None:
            return ClusterSpec()
        pending = load_cluster(row["pending"]).specs if row["pending"] else ()
        return joined(load_cluster(row["settled"]), (*self.leaving(pipeline), *pending), self.drained(pipeline))

    def all(self) -> dict[str, ClusterSpec]:
        """Return the cluster of each pipeline whose replicas may be elsewhere than on the local engine."""
        found = {row["pipeline"]: self.of(row["pipeline"]) for row in self._db.rows("SELECT pipeline FROM clusters")}
        return {name: cluster for name, cluster in found.items() if not cluster.is_local}

    def of_deployment(self, pipeline: str) -> ClusterSpec:
        """Return what `of` returns, where the hosts of the open deployment take the replicas, if it has any."""
        row = self._db.row("SELECT pending FROM clusters WHERE pipeline=?", pipeline)
        pending = row and row["pending"]
        return self.as_deployed(pipeline, load_cluster(pending)) if pending else self.of(pipeline)

    def as_deployed(self, pipeline: str, cluster: ClusterSpec) -> ClusterSpec:
        """Return what `of_deployment` would return for a deployment to `cluster`."""
        # In this order, those that leave keep their names.
        leaving, settled = self.leaving(pipeline), self.settled(pipeline)
        drained = drained_in(cluster, settled, leaving, self.drained(pipeline))
        return joined(cluster, (*leaving, *settled.specs), drained)

    def settled(self, pipeline: str) -> ClusterSpec:
        """Return the cluster as the last successful deployment set it, the local engine before the first one."""
        row = self._db.row("SELECT settled FROM clusters WHERE pipeline=?", pipeline)
        return load_cluster(row["settled"] if row else None)

    def leaving(self, pipeline: str) -> tuple[HostSpec, ...]:
        """Return the hosts that have left and may still have replicas."""
        rows = self._db.rows("SELECT spec FROM leaving_hosts WHERE pipeline=? ORDER BY name", pipeline)
        return tuple(HostSpec(**json.loads(row["spec"])) for row in rows)

    def drained(self, pipeline: str) -> frozenset[str]:
        """Return the names of the hosts that are drained."""
        return frozenset(
            row["name"] for row in self._db.rows("SELECT name FROM drained_hosts WHERE pipeline=?", pipeline)
        )

    def drain(self, pipeline: str, host: str) -> bool:
        """Let a host take no replicas until `resume`. Returns False if it was drained before."""
        sql = "INSERT OR IGNORE INTO drained_hosts VALUES (?,?,?)"
        with self._db.transaction() as db:
            return db.execute(sql, (pipeline, host, now())).rowcount > 0

    def resume(self, pipeline: str, host: str) -> bool:
        """Let a drained host take replicas again. Returns False if it was not drained."""
        with self._db.transaction() as db:
            return _delete(db, "drained_hosts", pipeline, [host]) > 0

    def forget(self, pipeline: str, host: str) -> bool:
        """Forget a host that has left: what is still on it is not found any more. Returns False if it has not."""
        with self._db.transaction() as db:
            is_forgotten = _delete(db, "leaving_hosts", pipeline, [host]) > 0
            if is_forgotten:
                _delete(db, "drained_hosts", pipeline, [host])
            return is_forgotten


def clusters_in(database: Path) -> dict[str, ClusterSpec]:
    """Return what `Clusters.all` returns, for a program that does not use the database otherwise. Makes no file."""
    if not database.exists():
        return {}
    with closing(Database(database)) as opened:
        return Clusters(opened).all()


def begin_cluster(db: sqlite3.Connection, pipeline: str, cluster: ClusterSpec) -> None:
    """Store the cluster of a deployment that begins, in the transaction of the caller.

    From here on its hosts are known, so a killed deployment leaves nothing on a host that no command looks at.
    """
    row = _row(db, pipeline)
    if row is None and cluster.is_local:
        return
    settled, former = load_cluster(row and row["settled"]), row and row["pending"]
    if former is not None:
        # That of the process that died.
        _leave(db, pipeline, settled, load_cluster(former).specs)
    _set(db, pipeline, settled, cluster)


def settle_cluster(db: sqlite3.Connection, pipeline: str, *, is_down: bool) -> None:
    """Let the cluster of a deployment that has succeeded be that of the pipeline. `is_down`: nothing is deployed."""
    row = _row(db, pipeline)
    if row is None or (row["pending"] is None and not is_down):
        return
    before = load_cluster(row["settled"])
    former = (*before.specs, *(load_cluster(row["pending"]).specs if row["pending"] else ()))
    settled = ClusterSpec() if is_down else load_cluster(row["pending"])
    _keep_drained(db, pipeline, settled, before)
    _leave(db, pipeline, settled, former)
    _set(db, pipeline, settled, None)


def fall_back(db: sqlite3.Connection, pipeline: str) -> None:
    """Forget the cluster of a deployment that has failed. The hosts that it added leave."""
    row = _row(db, pipeline)
    if row is None or row["pending"] is None:
        return
    settled = load_cluster(row["settled"])
    _leave(db, pipeline, settled, load_cluster(row["pending"]).specs)
    _set(db, pipeline, settled, None)


def _row(db: sqlite3.Connection, pipeline: str) -> Any:
    return db.execute("SELECT * FROM clusters WHERE pipeline=?", (pipeline,)).fetchone()


def _leaving(db: sqlite3.Connection, pipeline: str) -> list[HostSpec]:
    rows = db.execute("SELECT * FROM leaving_hosts WHERE pipeline=?", (pipeline,)).fetchall()
    return [HostSpec(**json.loads(row["spec"])) for row in rows]


def _keep_drained(db: sqlite3.Connection, pipeline: str, cluster: ClusterSpec, former: ClusterSpec) -> None:
    """Let those hosts be drained in `cluster` that were drained in the one before it."""
    rows = db.execute("SELECT name FROM drained_hosts WHERE pipeline=?", (pipeline,)).fetchall()
    drained = {row["name"] for row in rows}
    found = drained_in(cluster, former, _leaving(db, pipeline), drained)
    _delete(db, "drained_hosts", pipeline, drained - found)
    for name in found - drained:
        db.execute("INSERT INTO drained_hosts VALUES (?,?,?)", (pipeline, name, now()))


def _set(db: sqlite3.Connection, pipeline: str, settled: ClusterSpec, pending: ClusterSpec | None) -> None:
    stored = None if settled.is_local else dump_cluster(settled)
    values = (pipeline, stored, pending and dump_cluster(pending))
    db.execute("INSERT OR REPLACE INTO clusters VALUES (?,?,?)", values)


def _leave(db: sqlite3.Connection, pipeline: str, cluster: ClusterSpec, hosts: Iterable[HostSpec]) -> None:
    """Let hosts leave that are not in the cluster. Those that leave already keep their names, unless they are in it."""
    known = _leaving(db, pipeline)
    left = tuple(others_than(cluster, (*known, *hosts)))
    _delete(db, "leaving_hosts", pipeline, [spec.name for spec in known])
    for spec in left:
        values = (pipeline, spec.name, json.dumps(asdict(spec)))
        db.execute("INSERT INTO leaving_hosts VALUES (?,?,?)", values)


def _delete(db: sqlite3.Connection, table: str, pipeline: str, names: Iterable[str]) -> int:
    # `table` is one of two words above.
    sql = f"DELETE FROM {table} WHERE pipeline=? AND name=?"  # noqa: S608
    return sum(db.execute(sql, (pipeline, name)).rowcount for name in names)
