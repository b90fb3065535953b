"""Stacks on disk."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeVar

from pydantic import TypeAdapter

from pipeline.stacks.error import StackError
from pipeline.stacks.records import ChangeSet, DriftReport, Stack, StackEvent, StackResource
from pipeline.stacks.status import PHASES, StackStatus
from pipeline.store.database import Database

T = TypeVar("T")
_ADAPTERS: Mapping[type[Any], TypeAdapter[Any]] = {
    kind: TypeAdapter(kind) for kind in (Stack, StackResource, StackEvent, ChangeSet, DriftReport)
}


@dataclass(frozen=True)
class StackChange:
    """What one step changes. It is stored as a whole, or not at all.

    `dropped` are tokens of resources. `exports` and `imports` replace those of the stack, unless they are None.
    """

    stack: Stack
    resources: tuple[StackResource, ...] = ()
    dropped: tuple[str, ...] = ()
    events: tuple[StackEvent, ...] = ()
    exports: Mapping[str, str] | None = None
    imports: frozenset[str] | None = None
    change_sets: tuple[ChangeSet, ...] = field(default=())


class StackStore:
    """The stacks of a home, with their resources, events, exports, imports, change sets and drift.

    What a method has written is on disk when it returns. Safe to use from any thread. Raises `StoreFault`.
    """

    def __init__(self, database: Database) -> None:
        self._db = database

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def commit(self, change: StackChange) -> None:
        """Store a change. Raises `StackError` if an export's name belongs to another stack, and changes nothing."""
        stack = change.stack
        with self._db.transaction() as db:
            _put_stack(db, stack)
            for resource in change.resources:
                db.execute(
                    "INSERT INTO stack_resources (stack, token, document) VALUES (?,?,?)"
                    " ON CONFLICT (stack, token) DO UPDATE SET document=excluded.document",
                    (stack.id, resource.token, _dump(resource)),
                )
            for token in change.dropped:
                db.execute("DELETE FROM stack_resources WHERE stack=? AND token=?", (stack.id, token))
            _add_events(db, stack, change.events)
            if change.imports is not None:
                _set_imports(db, stack, change.imports)
            if change.exports is not None:
                _set_exports(db, stack, change.exports)
            for change_set in change.change_sets:
                _put_change_set(db, change_set)

    def add(self, stack: Stack, events: Iterable[StackEvent], imports: Iterable[str] = ()) -> None:
        """Store a new stack. Raises `StackError` if its owner has a stack of this name."""
        with self._db.transaction() as db:
            found = db.execute(
                "SELECT id FROM stacks WHERE owner=? AND name=? AND status<>?",
                (stack.owner, stack.name, StackStatus.DELETE_COMPLETE),
            ).fetchone()
            if found is not None:
                raise StackError(f"Stack [{stack.name}] already exists", code="AlreadyExistsException")
            _put_stack(db, stack)
            _add_events(db, stack, events)
            _set_imports(db, stack, imports)

    def find(self, owner: str, name: str) -> Stack | None:
        """Return a stack by its name or its ARN. A stack that was deleted is found by its ARN only."""
        row = self._db.row(
            "SELECT document FROM stacks WHERE owner=? AND (id=? OR (name=? AND status<>?))",
            owner,
            name,
            name,
            StackStatus.DELETE_COMPLETE,
        )
        return _load(Stack, row["document"]) if row else None

    def get(self, stack_id: str) -> Stack:
        """Return a stack by its ARN, which exists."""
        row = self._db.row("SELECT document FROM stacks WHERE id=?", stack_id)
        assert row is not None
        return _load(Stack, row["document"])

    def all(self, owner: str) -> list[Stack]:
        """Return all stacks of an owner, those that were deleted too, newest first."""
        rows = self._db.rows("SELECT document FROM stacks WHERE owner=?", owner)
        return sorted((_load(Stack, row["document"]) for row in rows), key=lambda s: s.created.wall, reverse=True)

    def unfinished(self) -> list[str]:
        """Return the ARNs of the stacks with an operation that runs or was interrupted."""
        marks = ",".join("?" * len(PHASES))
        rows = self._db.rows(f"SELECT id FROM stacks WHERE status IN ({marks})", *PHASES)  # noqa: S608  # marks only
        return [str(row["id"]) for row in rows]

    def resources(self, stack_id: str) -> list[StackResource]:
        """Return the resources of a stack in the order in which they were made."""
        rows = self._db.rows("SELECT document FROM stack_resources WHERE stack=? ORDER BY number", stack_id)
        return [_load(StackResource, row["document"]) for row in rows]

    def events(self, stack_id: str, after: int = 0) -> list[tuple[int, StackEvent]]:
        """Return the events of a stack after an id, oldest first, with their ids."""
        rows = self._db.rows(
            "SELECT id, document FROM stack_events WHERE stack=? AND id>? ORDER BY id", stack_id, after
        )
        return [(int(row["id"]), _load(StackEvent, row["document"])) for row in rows]

    def exports(self, owner: str) -> list[tuple[str, str, str]]:
        """Return the exports of an owner as name, value and ARN of the stack."""
        rows = self._db.rows("SELECT name, value, stack FROM stack_exports WHERE owner=? ORDER BY name", owner)
        return [(row["name"], row["value"], row["stack"]) for row in rows]

    def importers(self, owner: str, export: str) -> list[str]:
        """Return the names of the stacks that import an export."""
        rows = self._db.rows(
            "SELECT stacks.name FROM stack_imports JOIN stacks ON stacks.id=stack_imports.stack"
            " WHERE stack_imports.owner=? AND stack_imports.name=? ORDER BY stacks.name",
            owner,
            export,
        )
        return [str(row["name"]) for row in rows]

    def put_change_set(self, change_set: ChangeSet) -> None:
        """Store a change set."""
        with self._db.transaction() as db:
            _put_change_set(db, change_set)

    def change_sets(self, stack_id: str) -> list[ChangeSet]:
        """Return the change sets of a stack, oldest first."""
        rows = self._db.rows("SELECT document FROM stack_change_sets WHERE stack=? ORDER BY number", stack_id)
        return [_load(ChangeSet, row["document"]) for row in rows]

    def change_set(self, change_set_id: str) -> ChangeSet | None:
        """Return a change set by its ARN."""
        row = self._db.row("SELECT document FROM stack_change_sets WHERE id=?", change_set_id)
        return _load(ChangeSet, row["document"]) if row else None

    def drop_change_set(self, change_set_id: str) -> None:
        """Delete a change set."""
        with self._db.transaction() as db:
            db.execute("DELETE FROM stack_change_sets WHERE id=?", (change_set_id,))

    def put_drift(self, report: DriftReport) -> None:
        """Store the result of a detection of drift. It replaces the former one of the stack."""
        with self._db.transaction() as db:
            db.execute("DELETE FROM stack_drifts WHERE stack=?", (report.stack,))
            db.execute(
                "INSERT INTO stack_drifts (id, stack, document) VALUES (?,?,?)",
                (report.id, report.stack, _dump(report)),
            )

    def drift(self, key: str) -> DriftReport | None:
        """Return a result of drift by its id, or the latest of a stack by the stack's ARN."""
        row = self._db.row("SELECT document FROM stack_drifts WHERE id=? OR stack=?", key, key)
        return _load(DriftReport, row["document"]) if row else None

    def forget_deleted(self, owner: str, before: datetime) -> None:
        """Remove what is stored about stacks that were deleted before a time."""
        for stack in self.all(owner):
            if stack.deleted is not None and stack.deleted.wall < before:
                with self._db.transaction() as db:
                    db.execute("DELETE FROM stacks WHERE id=?", (stack.id,))


def _put_stack(db: sqlite3.Connection, stack: Stack) -> None:
    db.execute(
        "INSERT INTO stacks (id, owner, name, status, document) VALUES (?,?,?,?,?)"
        " ON CONFLICT (id) DO UPDATE SET status=excluded.status, document=excluded.document",
        (stack.id, stack.owner, stack.name, stack.status, _dump(stack)),
    )


def _add_events(db: sqlite3.Connection, stack: Stack, events: Iterable[StackEvent]) -> None:
    db.executemany(
        "INSERT INTO stack_events (stack, document) VALUES (?,?)", [(stack.id, _dump(event)) for event in events]
    )


def _set_imports(db: sqlite3.Connection, stack: Stack, names: Iterable[str]) -> None:
    db.execute("DELETE FROM stack_imports WHERE stack=?", (stack.id,))
    db.executemany(
        "INSERT INTO stack_imports (owner, name, stack) VALUES (?,?,?)",
        [(stack.owner, name, stack.id) for name in names],
    )


def _set_exports(db: sqlite3.Connection, stack: Stack, exports: Mapping[str, str]) -> None:
    """Replace the exports of a stack. Those that are imported must keep their values."""
    found = {
        row["name"]: row["value"]
        for row in db.execute("SELECT name, value FROM stack_exports WHERE stack=?", (stack.id,))
    }
    for name, value in found.items():
        if exports.get(name) == value:
            continue
        user = db.execute(
            "SELECT stacks.name FROM stack_imports JOIN stacks ON stacks.id=stack_imports.stack"
            " WHERE stack_imports.owner=? AND stack_imports.name=? ORDER BY stacks.name",
            (stack.owner, name),
        ).fetchone()
        if user is not None:
            verb = "updated" if name in exports else "deleted"
            raise StackError(f"Export {name} cannot be {verb} as it is in use by {user['name']}")
    db.execute("DELETE FROM stack_exports WHERE stack=?", (stack.id,))
    for name, value in exports.items():
        other = db.execute(
            "SELECT stacks.name FROM stack_exports JOIN stacks ON stacks.id=stack_exports.stack"
            " WHERE stack_exports.owner=? AND stack_exports.name=?",
            (stack.owner, name),
        ).fetchone()
        if other is not None:
            raise StackError(f"Export with name {name} is already exported by stack {other['name']}")
        db.execute(
            "INSERT INTO stack_exports (owner, name, stack, value) VALUES (?,?,?,?)",
            (stack.owner, name, stack.id, value),
        )


def _put_change_set(db: sqlite3.Connection, change_set: ChangeSet) -> None:
    db.execute(
        "INSERT INTO stack_change_sets (id, stack, name, document) VALUES (?,?,?,?)"
        " ON CONFLICT (id) DO UPDATE SET document=excluded.document",
        (change_set.id, change_set.stack, change_set.name, _dump(change_set)),
    )


def _dump(value: Any) -> str:
    return _ADAPTERS[type(value)].dump_json(value).decode()


def _load(kind: type[T], text: str) -> T:
    found: T = _ADAPTERS[kind].validate_json(text)
    return found
