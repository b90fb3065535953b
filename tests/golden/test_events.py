"""Kinds of events and their fields, as machines read them."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

from pipeline.event_kinds import EventKind, current_kind
from tests.golden.golden_file import Golden


def test_events_have_the_same_kinds_and_fields(golden: Golden) -> None:
    """Every kind of the catalogue is in the golden file with its fields, and no other."""
    found = {kind.value: sorted(kind.fields) for kind in sorted(EventKind)}
    golden("events.json", json.dumps(found, indent=1) + "\n")


def test_what_a_home_recorded_is_in_the_catalogue(recorded_home: Path) -> None:
    """Each event that runs of version 0.1.0 have written is of a known kind, with no field that the kind lacks."""
    with closing(sqlite3.connect(recorded_home / "penstock.db")) as database:
        recorded = database.execute("SELECT DISTINCT kind, fields FROM events").fetchall()
    assert len({kind for kind, _ in recorded}) > 20
    for kind, fields in recorded:
        assert set(json.loads(fields)) <= EventKind(current_kind(kind)).fields, kind
