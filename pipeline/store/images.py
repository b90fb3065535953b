"""Images: the build cache, and those that runs use."""

from __future__ import annotations

import json

from pipeline.engine.registry_names import name_with_digest
from pipeline.event_kinds import EventKind
from pipeline.store.database import Database


class Images:
    """The images of all pipelines.

    A cached image may have been removed from Docker since. Every method is one transaction and raises `StoreFault`.
    """

    def __init__(self, database: Database) -> None:
        self._db = database

    def cache(self, pipeline: str, key: str, image_id: str) -> None:
        """Store the image that was built, or has passed its tests, with the inputs that `key` stands for."""
        with self._db.transaction() as db:
            db.execute(
                "INSERT OR REPLACE INTO images (pipeline, key, image_id) VALUES (?,?,?)", (pipeline, key, image_id)
            )

    def cached(self, pipeline: str, key: str) -> str | None:
        """Return the image for the inputs that `key` stands for, or None."""
        row = self._db.row("SELECT image_id FROM images WHERE pipeline=? AND key=?", pipeline, key)
        return row["image_id"] if row else None

    def delete(self, image_id: str) -> None:
        """Remove an image from the cache of every pipeline."""
        with self._db.transaction() as db:
            db.execute("DELETE FROM images WHERE image_id=?", (image_id,))

    def clear_cache(self, pipeline: str) -> None:
        """Remove all images of a pipeline from its cache, so that its next run builds and tests. Keeps the images."""
        with self._db.transaction() as db:
            db.execute("DELETE FROM images WHERE pipeline=?", (pipeline,))

    def registry_names(self, pipeline: str, image_id: str) -> tuple[str, ...]:
        """Return the names with a digest under which runs have pushed an image, the latest first.

        They are those of the runs whose events are kept.
        """
        sql = (
            "SELECT fields FROM events WHERE pipeline=? AND kind=? AND run IN "
            "(SELECT number FROM runs WHERE pipeline=? AND image_id=?) ORDER BY id DESC"
        )
        found = self._db.rows(sql, pipeline, EventKind.IMAGE_PUSHED, pipeline, image_id)
        pushed = (json.loads(row["fields"]) for row in found)
        return tuple(dict.fromkeys(name_with_digest(each["image"], each["digest"]) for each in pushed))

    def pin(self, pipeline: str, run: int, image_id: str) -> None:
        """Keep an image until the run is over. Replaces the image that the run pinned earlier."""
        with self._db.transaction() as db:
            db.execute("UPDATE runs SET image_id=? WHERE pipeline=? AND number=?", (image_id, pipeline, run))

    def pinned(self, pipeline: str) -> set[str]:
        """Return the images of the runs that are not over."""
        sql = "SELECT image_id FROM runs WHERE pipeline=? AND state IN ('queued', 'running') AND image_id IS NOT NULL"
        return {row["image_id"] for row in self._db.rows(sql, pipeline)}
