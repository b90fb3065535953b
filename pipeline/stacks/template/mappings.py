"""The section Mappings."""

from __future__ import annotations

import re

from pipeline.stacks.template.document import Document
from pipeline.stacks.template.section import check_name, members
from pipeline.stacks.template.values import JSON, Path

_KEY = re.compile(r"[A-Za-z0-9_.-]+")
_MAX_ATTRIBUTES = 200


def checked_mappings(document: Document) -> dict[str, JSON]:
    """Return the mappings: two levels of keys, then text or a list of texts. Raises `TemplateError`."""
    mappings = members(document, "Mappings")
    for name, mapping in mappings.items():
        path: Path = ("Mappings", name)
        check_name(document, name, path, "Mappings name")
        if not isinstance(mapping, dict):
            raise document.error(f"Template format error: Every Mappings member {name} must be a map", path)
        for key, entry in mapping.items():
            _check_entry(document, key, entry, (*path, key))
    return mappings


def _check_entry(document: Document, key: str, entry: JSON, path: Path) -> None:
    if not isinstance(entry, dict):
        raise document.error(f"Template format error: Every Mappings member {key} must be a map", path)
    for word in (key, *entry):
        if not _KEY.fullmatch(word):
            reason = (
                f"Template format error: Mappings attribute name '{word}' must contain only alphanumeric characters."
            )
            raise document.error(reason, path if word == key else (*path, word))
    if len(entry) > _MAX_ATTRIBUTES:
        reason = f"Number of attributes, {len(entry)}, is greater than maximum allowed, {_MAX_ATTRIBUTES}"
        raise document.error(f"Template format error: {reason}", path)
    for attribute, value in entry.items():
        items = value if isinstance(value, list) else [value]
        if any(isinstance(item, dict | list) for item in items):
            reason = "Template format error: Every Mappings attribute must be a String or a List."
            raise document.error(reason, (*path, attribute))
