"""Mappings and lists of a Compose file, each with the places of its values."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Place:
    """A position in a file. Line and column count from 1."""

    file: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


class Map(dict[str, Any]):
    """A mapping. `places` has the place of each key, `place` that of the mapping."""

    def __init__(self, place: Place) -> None:
        super().__init__()
        self.place = place
        self.places: dict[str, Place] = {}

    def put(self, key: str, value: Any, place: Place) -> None:
        """Set a key with its place."""
        self[key] = value
        self.places[key] = place

    def entries(self) -> Iterator[tuple[str, Any, Place]]:
        """Yield each key, its value and its place."""
        for key, value in self.items():
            yield key, value, self.places[key]

    def copy(self) -> Map:
        """Return a mapping with the same values."""
        result = Map(self.place)
        for entry in self.entries():
            result.put(*entry)
        return result


class Seq(list[Any]):
    """A list. `places` has the place of each item, `place` that of the list."""

    def __init__(self, place: Place) -> None:
        super().__init__()
        self.place = place
        self.places: list[Place] = []

    def add(self, value: Any, place: Place) -> None:
        """Append an item with its place."""
        self.append(value)
        self.places.append(place)

    def entries(self) -> Iterator[tuple[Any, Place]]:
        """Yield each item and its place."""
        yield from zip(self, self.places, strict=True)


class Reset:
    """The value of a key with the tag `!reset`: it removes what the files before have."""


@dataclass(frozen=True)
class Override:
    """The value of a key with the tag `!override`: it replaces what the files before have."""

    value: Any


def kind(value: Any) -> str:
    """Return what a value is, in words for an error."""
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    return "nothing" if value is None else repr(str(value).lower() if isinstance(value, bool) else str(value))
