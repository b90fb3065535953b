"""What open pages get of a log that grows."""

from __future__ import annotations

import json
from pathlib import Path

from pipeline.web.log_growth import LogGrowth


def write(path: Path, *texts: str) -> None:
    """Append lines to a log."""
    with path.open("a") as file:
        file.writelines(f"{json.dumps({'at': 'now', 'stage': 'test', 'text': text})}\n" for text in texts)


def test_each_look_has_only_what_is_new(tmp_path: Path) -> None:
    """The first look has no lines. Without new ones, the lines stay, so nothing is sent."""
    log, growth = tmp_path / "log", LogGrowth()
    write(log, "a", "b")
    first = growth.look("run", log)
    assert (first.lines, first.start, first.next) == ([], log.stat().st_size, log.stat().st_size)
    write(log, "c", "d")
    second = growth.look("run", log)
    assert [line.text for line in second.lines] == ["c", "d"]
    assert (second.start, second.next) == (first.next, log.stat().st_size)
    assert growth.look("run", log) == second
    write(log, "e")
    assert [line.text for line in growth.look("run", log).lines] == ["e"]


def test_a_line_that_is_being_written_comes_when_it_is_whole(tmp_path: Path) -> None:
    """It is in one look, and in none before."""
    log, growth = tmp_path / "log", LogGrowth()
    growth.look("run", log)
    line = json.dumps({"at": "now", "stage": "test", "text": "whole"})
    log.write_text(line[:10])
    assert growth.look("run", log).lines == []
    log.write_text(f"{line}\n")
    assert [found.text for found in growth.look("run", log).lines] == ["whole"]


def test_a_flood_is_cut(tmp_path: Path) -> None:
    """If very much was added meanwhile, the last lines are sent. Their start says that some are left out."""
    log, growth = tmp_path / "log", LogGrowth()
    write(log, "before")
    before = growth.look("run", log)
    write(log, *(f"line {number}" for number in range(10_000)))
    found = growth.look("run", log)
    assert found.start > before.next
    assert [line.text for line in found.lines] == [f"line {number}" for number in range(9_800, 10_000)]


def test_a_flood_of_long_lines_is_cut_by_its_bytes(tmp_path: Path) -> None:
    """Each open page gets what is found, so it stays small. The last line is there, however long it is."""
    log, growth = tmp_path / "log", LogGrowth()
    growth.look("run", log)
    write(log, *("x" * 10_000 for _ in range(300)))
    found = growth.look("run", log)
    assert 1 <= len(found.lines) <= 3
    assert found.next == log.stat().st_size
    write(log, "y" * 50_000)
    assert growth.look("run", log).lines[-1].text == "y" * 50_000


def test_logs_are_forgotten(tmp_path: Path) -> None:
    """Those that nobody has looked at for long need no memory. A look at one begins again."""
    log, growth = tmp_path / "log", LogGrowth()
    growth.look(0, log)
    write(log, "a")
    for key in range(1, 100):
        growth.look(key, log)
    assert growth.look(0, log).lines == []
