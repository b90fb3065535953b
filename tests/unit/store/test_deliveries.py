"""Webhook deliveries that were received."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

from pipeline.store.store import Store


def test_a_delivery_is_taken_once(store: Store) -> None:
    """A delivery is taken once, and again after it was deleted."""
    assert store.deliveries.take("shop", "d1")
    assert not store.deliveries.take("shop", "d1")
    store.deliveries.delete("shop", "d1")
    assert store.deliveries.take("shop", "d1")


def test_two_pipelines_of_one_repository_each_take_a_delivery(store: Store) -> None:
    """A forge sends the same one to both. Deleting it in one leaves the other."""
    assert store.deliveries.take("shop", "d1")
    assert store.deliveries.take("blog", "d1")
    store.deliveries.delete("shop", "d1")
    assert not store.deliveries.take("blog", "d1")


def test_a_delivery_is_deleted_after_30_days(store: Store, tmp_path: Path) -> None:
    """A delivery is deleted after 30 days, when the next one is taken."""
    for digest, age in (("old", timedelta(days=31)), ("new", timedelta(days=29))):
        store.deliveries.take("shop", digest)
        with closing(sqlite3.connect(tmp_path / "penstock.db")) as db, db:
            received = (datetime.now(UTC) - age).isoformat()
            db.execute("UPDATE webhook_deliveries SET at=? WHERE digest=?", (received, digest))
    assert store.deliveries.take("shop", "old")
    assert not store.deliveries.take("shop", "new")
