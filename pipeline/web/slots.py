"""Parts inside other parts of a page, so that a small change sends a small part."""

from __future__ import annotations

import re
from collections.abc import Mapping

from markupsafe import Markup

# No text of a page can be like that, because `<` is escaped.
_SLOT = re.compile(r"<!--part ([\w-]+)-->")


def slot(name: str) -> Markup:
    """Return what stands in a part for another part, which has no slots itself."""
    return Markup(f"<!--part {name}-->")  # noqa: S704  # names are of this code


def slots_in(html: str) -> list[str]:
    """Return the names of the parts inside a part."""
    return _SLOT.findall(html)


def fill_slots(html: str, parts: Mapping[str, Markup]) -> Markup:
    """Return a part with the parts inside it."""
    return Markup(_SLOT.sub(lambda found: parts[found[1]], html))  # noqa: S704  # all of them are markup
