"""What a measurement found, and the page that collects it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

PAGE = Path(__file__).with_name("RESULTS.md")
_HEAD = "# Measurements\n\nCreated by `make bench`. Timings differ between machines, so compare the ratios.\n"


@dataclass(frozen=True)
class Results:
    """One measurement: how it was done, its table, and whether it shows what it has to."""

    title: str
    method: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    verdict: str
    met: bool

    def as_markdown(self) -> str:
        """A section of the page."""
        lines = [self.header, tuple("---" for _ in self.header), *self.rows]
        table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
        return f"## {self.title}\n\n{self.method}\n\n{table}\n\n**{self.verdict}**\n"


def write(name: str, results: Results, machine: str) -> None:
    """Put a section into the page, in place of its former one."""
    page = PAGE.read_text() if PAGE.exists() else _HEAD
    begin, end = f"<!-- {name} -->", f"<!-- /{name} -->"
    when = f"*{machine}; {datetime.now(UTC):%Y-%m-%d}*"
    section = f"{begin}\n{results.as_markdown()}\n{when}\n{end}"
    former = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
    page = former.sub(lambda _: section, page) if former.search(page) else f"{page}\n{section}\n"
    PAGE.write_text(page)
