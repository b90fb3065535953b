"""Releases."""

from __future__ import annotations

from collections.abc import Callable

from pipeline.store.database import Database
from pipeline.store.records import Release, ReleaseState
from pipeline.store.rows import next_number, now, release_from_row


class Releases:
    """The releases of all pipelines. At most one per pipeline is active.

    `Deployments.finish` changes their states. Every method is one transaction and raises `StoreFault`.
    """

    def __init__(self, database: Database) -> None:
        self._db = database

    def create(
        self,
        pipeline: str,
        run: int,
        *,
        sha: str,
        subject: str,
        image_id: str,
        image_tag: str,
        spec: str | Callable[[int], str],
    ) -> Release:
        """Add a pending release with the next number of its pipeline. `spec` may depend on the number."""
        with self._db.transaction() as db:
            number = next_number(db, "releases", pipeline)
            values = {
                "pipeline": pipeline,
                "number": number,
                "run": run,
                "sha": sha,
                "subject": subject,
                "image_id": image_id,
                "image_tag": image_tag,
                "spec": spec if isinstance(spec, str) else spec(number),
                "state": ReleaseState.PENDING,
                "created_at": now(),
            }
            columns, marks = ", ".join(values), ", ".join("?" * len(values))
            db.execute(f"INSERT INTO releases ({columns}) VALUES ({marks})", tuple(values.values()))  # noqa: S608
            db.execute("UPDATE runs SET release=? WHERE pipeline=? AND number=?", (number, pipeline, run))
        release = self.get(pipeline, number)
        assert release is not None
        return release

    def get(self, pipeline: str, number: int) -> Release | None:
        """Return one release, or None if it does not exist."""
        row = self._db.row("SELECT * FROM releases WHERE pipeline=? AND number=?", pipeline, number)
        return release_from_row(row) if row else None

    def has_cluster(self, pipeline: str) -> bool:
        """Return whether replicas of a pipeline may be elsewhere than on the local engine. `Clusters` knows where."""
        return self._db.row("SELECT 1 FROM clusters WHERE pipeline=?", pipeline) is not None

    def all(self, pipeline: str) -> list[Release]:
        """Return all releases of a pipeline, newest first."""
        rows = self._db.rows("SELECT * FROM releases WHERE pipeline=? ORDER BY number DESC", pipeline)
        return [release_from_row(row) for row in rows]

    def active(self, pipeline: str) -> Release | None:
        """Return the release that receives traffic, or None."""
        row = self._db.row("SELECT * FROM releases WHERE pipeline=? AND state='active'", pipeline)
        return release_from_row(row) if row else None
