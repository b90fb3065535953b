"""A template's text as plain data, with the position of every key and value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from pipeline.stacks.template.error import TemplateError
from pipeline.stacks.template.values import JSON, Path, dotted

Place = tuple[int, int]
"""Line and column, from 1."""

MAX_DEPTH = 100


def duplicate_key(source: str, place: Place, path: Path) -> str:
    """Return the warning for a key that an object has twice."""
    return f"{source}:{place[0]}:{place[1]}: {dotted(path)}: duplicate key, the last one counts"


@dataclass(frozen=True)
class Document:
    """The content of a template. `places` maps a path to the place of its key, or of an item of a list.

    `warnings` are lines about what is accepted but probably not meant.
    """

    source: str
    data: Mapping[str, JSON]
    places: Mapping[Path, Place]
    warnings: tuple[str, ...] = field(default=())

    def place(self, path: Path) -> Place:
        """Return the place of `path`, or of its nearest existing parent."""
        for length in range(len(path), -1, -1):
            if (found := self.places.get(path[:length])) is not None:
                return found
        return (1, 1)

    def error(self, reason: str, path: Path, hint: str = "") -> TemplateError:
        """Return an error at the place of `path`."""
        line, column = self.place(path)
        return TemplateError(reason, line=line, column=column, path=dotted(path), hint=hint, source=self.source)
