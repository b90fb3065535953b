"""Forms of filters: what a user has chosen, and the address of the next page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from urllib.parse import urlencode


def given_filters(arguments: Mapping[str, str], names: Sequence[str]) -> dict[str, str]:
    """Return the fields that are not empty."""
    return {name: arguments[name].strip() for name in names if arguments.get(name, "").strip()}


def address(path: str, fields: Mapping[str, str], **more: object) -> str:
    """Return the address of a page with these fields. One that is None is left out."""
    query = {**fields, **{name: str(value) for name, value in more.items() if value is not None}}
    return f"{path}?{urlencode(query)}" if query else path
