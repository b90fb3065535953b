"""How much a measurement measures: all of it, or a short version."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Extent:
    """`quick` asks for fewer and shorter rounds. `runs` is the length of the memory measurement, in runs."""

    quick: bool = False
    runs: int | None = None

    def choose(self, full: T, quick: T) -> T:
        """Return the value for this extent."""
        return quick if self.quick else full
