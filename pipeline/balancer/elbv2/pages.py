"""Pages of a list: Marker and PageSize."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from pipeline.aws.errors import AwsError

_T = TypeVar("_T")
_MOST = 400


def page(
    found: Sequence[_T], parameters: Mapping[str, Any], key: Callable[[_T], str]
) -> tuple[Sequence[_T], dict[str, str]]:
    """Return the items of the page that is asked for, and `NextMarker` if there are more.

    `key` gives a text by which the items are sorted. A marker holds the last one of a page, so items that are created
    or deleted meanwhile move no other across a page.
    """
    if marker := parameters.get("Marker"):
        last = _decode(marker)
        found = [item for item in found if key(item) > last]
    size = parameters.get("PageSize", _MOST)
    rest = {"NextMarker": _encode(key(found[size - 1]))} if len(found) > size else {}
    return found[:size], rest


def _encode(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).decode()


def _decode(marker: str) -> str:
    try:
        return base64.b64decode(marker.encode(), altchars=b"-_", validate=True).decode()
    except (binascii.Error, ValueError):
        raise AwsError("ValidationError", f"The marker '{marker}' is not valid") from None
