"""Disabled transitions."""

from __future__ import annotations

from pipeline.store.store import Store


def test_a_transition_is_disabled_until_it_is_enabled(store: Store) -> None:
    """A transition is disabled per pipeline, with the latest reason, until it is enabled."""
    assert store.transitions.disabled("shop") == {}
    store.transitions.disable("shop", "deploy", "freeze")
    store.transitions.disable("shop", "deploy", "audit")
    assert store.transitions.disabled("shop") == {"deploy": "audit"}
    assert store.transitions.disabled("blog") == {}
    assert not store.transitions.enable("shop", "build")
    assert store.transitions.enable("shop", "deploy")
    assert store.transitions.disabled("shop") == {}
