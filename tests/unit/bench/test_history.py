"""The history keeps every figure of every full measurement, as CSV."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from pathlib import Path

from bench.figure import Figure
from bench.history import Entry, append, read

ENTRY = Entry(date(2026, 11, 29), "0123abc", "proxy_cost", Figure('kept: times "nginx", plain', 1.25, 1.12))


def test_read_returns_what_was_appended(tmp_path: Path) -> None:
    """Entries of several measurements come back in their order, with commas and quotes in their names."""
    file = tmp_path / "history.csv"
    later = replace(ENTRY, day=date(2026, 11, 30), commit="0456def+", figure=Figure("lost", 0, 0))
    append([ENTRY], file)
    append([later, ENTRY], file)
    assert read(file) == [ENTRY, later, ENTRY]


def test_file(tmp_path: Path) -> None:
    """The file has one line of column names, then a line for each figure."""
    file = tmp_path / "history.csv"
    for value in (1.23456, 4011.2):
        append([replace(ENTRY, figure=Figure("kept", value, 1.12))], file)
    assert file.read_bytes() == (
        b"date,commit,benchmark,name,ratio,limit\n"
        b"2026-11-29,0123abc,proxy_cost,kept,1.235,1.12\n"
        b"2026-11-29,0123abc,proxy_cost,kept,4011,1.12\n"
    )


def test_no_file(tmp_path: Path) -> None:
    """Without a file, the history is empty."""
    assert read(tmp_path / "history.csv") == []
