"""Events that fill a small disk."""

from __future__ import annotations

from pipeline.events import Event
from pipeline.store.store import Store


def fill(store: Store) -> None:
    """Write events until the disk is full. Raises `StoreFault` then."""
    for _ in range(10_000):
        store.events.record(Event("x", "y" * 4000, "shop"))
