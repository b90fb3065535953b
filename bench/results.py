"""Results of a measurement, and the page that collects them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

from bench.figure import Figure

PAGE = Path(__file__).with_name("RESULTS.md")
_HEAD = "# Measurements\n\nCreated by `make bench`. Timings differ between machines, so compare the ratios.\n"


@dataclass(frozen=True)
class Results:
    """One measurement: its method, its table, its figures, and whether its limits are `met`."""

    title: str
    method: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    verdict: str
    met: bool
    figures: tuple[Figure, ...] = ()

    @classmethod
    def judged(
        cls,
        title: str,
        method: str,
        header: tuple[str, ...],
        rows: Sequence[tuple[str, ...]],
        figures: Sequence[Figure],
    ) -> Self:
        """Return results whose verdict is the list of their figures, each with its limit."""
        verdict = "; ".join(map(str, figures)) or "nothing to compare with"
        return cls(title, method, header, tuple(rows), verdict, all(f.met for f in figures), tuple(figures))

    def as_markdown(self) -> str:
        """Return a section of the page."""
        lines = [self.header, tuple("---" for _ in self.header), *self.rows]
        table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
        return f"## {self.title}\n\n{self.method}\n\n{table}\n\n**{self.verdict}**\n"


def write(name: str, results: Results, machine: str) -> None:
    """Write a section of the page, in place of its previous version."""
    page = PAGE.read_text() if PAGE.exists() else _HEAD
    begin, end = f"<!-- {name} -->", f"<!-- /{name} -->"
    when = f"*{machine}; {datetime.now(UTC):%Y-%m-%d}*"
    section = f"{begin}\n{results.as_markdown()}\n{when}\n{end}"
    previous = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
    page = previous.sub(lambda _: section, page) if previous.search(page) else f"{page}\n{section}\n"
    PAGE.write_text(page)
