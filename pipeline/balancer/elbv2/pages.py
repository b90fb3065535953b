"""Pages of a list: Marker and PageSize."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

_T = TypeVar("_T")
_MOST = 400


def page(
    found: Sequence[_T], parameters: Mapping[str, Any], key: Callable[[_T], str]
) -> tuple[Sequence[_T], dict[str, str]]:
    """Return the items of the page that is asked for, and `NextMarker` if there are more.

    `key` gives a text by which the items are sorted. A marker is that of the last one of a page, so items that are
    created or deleted meanwhile move no other across a page.
    """
    if marker := parameters.get("Marker"):
        found = [item for item in found if key(item) > marker]
    size = parameters.get("PageSize", _MOST)
    rest = {"NextMarker": key(found[size - 1])} if len(found) > size else {}
    return found[:size], rest
