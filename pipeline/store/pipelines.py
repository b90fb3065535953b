"""Pipelines and the files that declare them."""

from __future__ import annotations

from pathlib import Path

from pipeline.store.database import Database


class Pipelines:
    """The owner of each pipeline's name: the pipeline.yaml that declares it. Raises `StoreFault`."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def file(self, pipeline: str) -> Path | None:
        """Return the file that owns a name, or None."""
        row = self._db.row("SELECT file FROM pipelines WHERE name=?", pipeline)
        return Path(row["file"]) if row else None

    def files(self) -> dict[str, Path]:
        """Return the file of each pipeline, in the order of their names."""
        rows = self._db.rows("SELECT name, file FROM pipelines ORDER BY name")
        return {row["name"]: Path(row["file"]) for row in rows}

    def set_file(self, pipeline: str, file: Path) -> None:
        """Make `file` the owner of a name."""
        with self._db.transaction() as db:
            db.execute("INSERT OR REPLACE INTO pipelines (name, file) VALUES (?,?)", (pipeline, str(file)))
