"""Keys without a value that mean something in a mapping of names, such as `networks: {backend: }`."""

from __future__ import annotations

from typing import Any

from pipeline.config.document import ANY_KEY, Document
from pipeline.config.environment import parents

# The mappings, and what a name without a value has in them.
_PLACES: tuple[tuple[tuple[str, ...], Any], ...] = (
    (("build", "labels"), ""),
    *(
        ((*parent, key), value)
        for parent in (("deploy",), ("deploy", "services", ANY_KEY), ("accessories", ANY_KEY))
        for key, value in (("labels", ""), ("networks", {}))
    ),
)


def complete_empty_values(document: Document, data: dict[str, Any]) -> None:
    """Give names without a value the one that they have in Compose. Changes `data`."""
    for place, value in _PLACES:
        for path, parent in parents(data, place[:-1], ()):
            here = (*path, place[-1])
            mapping = parent.get(place[-1])
            if isinstance(mapping, dict):
                written = (key[-1] for key in document.keys if key[:-1] == here)
                parent[place[-1]] = {str(name): mapping.get(str(name), value) for name in written}
