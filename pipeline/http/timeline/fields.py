"""The fields of stored events. Those of other versions may lack a value, or have one of another type."""

from __future__ import annotations

from pipeline.events import Event


def number(event: Event, key: str) -> int:
    """Return a whole number, 0 if there is none."""
    return int(decimal(event, key))


def decimal(event: Event, key: str) -> float:
    """Return a number, 0 if there is none."""
    value = event.fields.get(key)
    return float(value) if isinstance(value, int | float) else 0.0


def optional_number(event: Event, key: str) -> int | None:
    """Return a whole number, or None."""
    return number(event, key) if isinstance(event.fields.get(key), int | float) else None


def text(event: Event, key: str) -> str:
    """Return a text, empty if there is none."""
    value = event.fields.get(key)
    return "" if value is None else str(value)


def optional_text(event: Event, key: str) -> str | None:
    """Return a text, or None."""
    return text(event, key) or None
