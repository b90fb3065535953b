"""What became of the requests of a part of the tour."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from pipeline.testing.load.report import LoadReport

_HEADS = ("DURING", "SENT", "LOST", "TOOK")


@dataclass(frozen=True)
class Phase:
    """The requests that were sent in a part, and how many of them were lost. `took` is in seconds."""

    name: str
    sent: int
    lost: int
    took: float


def phases(reports: Sequence[LoadReport], took: Mapping[str, float]) -> list[Phase]:
    """Return the parts that were timed, and a last one for the whole."""
    parts = [part for report in reports for part in report.phases]
    found = [
        Phase(
            name,
            sum(part.sent for part in parts if part.name == name),
            sum(part.failed for part in parts if part.name == name),
            seconds,
        )
        for name, seconds in took.items()
    ]
    whole = Phase("all", sum(r.sent for r in reports), sum(r.failed for r in reports), max(r.seconds for r in reports))
    return [*found, whole]


def show(found: Sequence[Phase]) -> Iterator[str]:
    """Yield the lines of the table."""
    rows = [_HEADS, *((each.name, str(each.sent), str(each.lost), f"{each.took:.0f} s") for each in found)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
