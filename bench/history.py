"""The figures of past measurements by commit, in `history.csv`."""

from __future__ import annotations

import csv
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from bench.figure import Figure

FILE = Path(__file__).with_name("history.csv")
_COLUMNS = ("date", "commit", "benchmark", "name", "ratio", "limit")


@dataclass(frozen=True)
class Entry:
    """One figure of one measurement. `commit` ends with `+` if the working tree had changes."""

    day: date
    commit: str
    benchmark: str
    figure: Figure


def append(entries: Iterable[Entry], file: Path = FILE) -> None:
    """Append figures to the history, and create the file if it is missing."""
    is_new = not file.exists()
    with file.open("a", newline="") as out:
        writer = csv.writer(out, lineterminator="\n")
        if is_new:
            writer.writerow(_COLUMNS)
        for entry in entries:
            figure = entry.figure
            row = (entry.day.isoformat(), entry.commit, entry.benchmark, figure.name)
            writer.writerow((*row, f"{figure.value:.4g}", f"{figure.limit:g}"))


def read(file: Path = FILE) -> list[Entry]:
    """Return the history, oldest first. It is empty if there is no file."""
    if not file.exists():
        return []
    with file.open(newline="") as lines:
        return [_entry(row) for row in csv.DictReader(lines)]


def _entry(row: dict[str, str]) -> Entry:
    figure = Figure(row["name"], float(row["ratio"]), float(row["limit"]))
    return Entry(date.fromisoformat(row["date"]), row["commit"], row["benchmark"], figure)


def current_commit() -> str:
    """Return the short id of the commit that is measured."""
    command = ["git", "describe", "--always", "--exclude=*", "--dirty=+"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=FILE.parent)
    return done.stdout.strip() or "unknown"
