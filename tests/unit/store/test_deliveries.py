"""Webhook deliveries that were received."""

from __future__ import annotations

from pipeline.store.store import Store


def test_a_delivery_is_taken_once(store: Store) -> None:
    """And once more after it was deleted."""
    assert store.deliveries.take("shop", "d1")
    assert not store.deliveries.take("shop", "d1")
    store.deliveries.delete("shop", "d1")
    assert store.deliveries.take("shop", "d1")
