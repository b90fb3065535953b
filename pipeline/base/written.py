"""Values of YAML in messages, as a user writes them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def written(value: Any) -> str:
    """Return a value for a message: `true`, `null`, `5`, `'text'`, or what it is if it has parts."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return repr(value)
    if isinstance(value, Mapping):
        return "a mapping"
    return "a list" if isinstance(value, list | tuple | set | frozenset) else str(value)
