"""What became of the requests of a part of the tour."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from pipeline.testing.load.report import LoadReport

_HEADS = ("DURING", "SENT", "LOST", "OF THEM IN FLIGHT TO APP2", "TOOK")


@dataclass(frozen=True)
class Phase:
    """The requests that were sent in a part of the tour, and how many were lost in it. `took` is in seconds.

    `there`: those that a machine had, or was sent, when it could not be reached any more.
    """

    name: str
    sent: int
    lost: int
    there: int
    took: float


def phases(reports: Sequence[LoadReport], took: Mapping[str, float], there: Mapping[str, int]) -> list[Phase]:
    """Return the parts that were timed, and a last one for the whole."""
    parts = [part for report in reports for part in report.phases]
    failures = [failure for report in reports for failure in report.failures]
    found = [
        Phase(
            name,
            sum(part.sent for part in parts if part.name == name),
            sum(failure.lost_in == name for failure in failures),
            there[name],
            seconds,
        )
        for name, seconds in took.items()
    ]
    sent, lost = sum(r.sent for r in reports), sum(r.failed for r in reports)
    return [*found, Phase("all", sent, lost, sum(there.values()), max(report.seconds for report in reports))]


def show(found: Sequence[Phase]) -> Iterator[str]:
    """Yield the lines of the table."""
    rows = [_HEADS, *(_cells(each) for each in found)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def _cells(phase: Phase) -> tuple[str, ...]:
    return (phase.name, str(phase.sent), str(phase.lost), str(phase.there), f"{phase.took:.0f} s")
