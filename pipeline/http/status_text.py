"""The text of `pipeline status`, as the daemon sends it. Times are formatted by its reader, in its time zone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

Text = tuple[str | datetime, ...]
"""One line, in parts. A moment is a part of its own."""


@dataclass(frozen=True)
class StatusText:
    """The lines of a report, and the rows of its targets. `invalid`: the pipeline.yaml has mistakes."""

    invalid: bool
    lines: Sequence[Text]
    targets: Sequence[tuple[str, ...]]

    def to_json(self) -> dict[str, Any]:
        """Return the text as JSON data. A moment becomes an object with the key `at`."""
        lines = [[{"at": p.isoformat()} if isinstance(p, datetime) else p for p in line] for line in self.lines]
        return {"invalid": self.invalid, "lines": lines, "targets": [list(row) for row in self.targets]}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Return the text that `to_json` has made."""
        lines = [tuple(p if isinstance(p, str) else datetime.fromisoformat(p["at"]) for p in x) for x in data["lines"]]
        return cls(data["invalid"], lines, [tuple(row) for row in data["targets"]])
