"""What the daemon asks about stacks without loading them."""

from __future__ import annotations

from pipeline.store.database import Database


class Stacks:
    """The states of stacks. `pipeline/stacks/store.py` has the stacks themselves. Raises `StoreFault`."""

    def __init__(self, database: Database) -> None:
        self._db = database

    @property
    def database(self) -> Database:
        """The database, from which `pipeline/stacks/store.py` reads the stacks."""
        return self._db

    def has_unfinished(self) -> bool:
        """Return whether an operation on a stack runs or was interrupted."""
        row = self._db.row(
            "SELECT 1 FROM stacks WHERE status LIKE '%IN_PROGRESS' AND status<>'REVIEW_IN_PROGRESS' LIMIT 1"
        )
        return row is not None
