"""A run's log: whole lines, masked, of bounded size, readable while it grows."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest

from pipeline.errors import StoreFault
from pipeline.log import RunLogFile, follow, read_log
from pipeline.masking import Mask


def test_lines_come_back_with_their_stage(tmp_path: Path) -> None:
    """In order, each with its time."""
    path = tmp_path / "shop" / "1.jsonl"
    with RunLogFile(path, str) as log:
        log.line("build", "Step 1/2 : FROM base")
        log.line("test", "ok")
    lines = list(read_log(path))
    assert [(line.stage, line.text) for line in lines] == [("build", "Step 1/2 : FROM base"), ("test", "ok")]
    assert all(line.at.endswith("Z") for line in lines)
    assert path.stat().st_mode & 0o777 == 0o600


def test_secrets_never_reach_the_disk(tmp_path: Path) -> None:
    """Not even for a moment: they are masked before they are written."""
    path = tmp_path / "1.jsonl"
    with RunLogFile(path, Mask(["hunter-two"])) as log:
        log.line("test", "password is hunter-two")
    assert b"hunter" not in path.read_bytes()
    assert [line.text for line in read_log(path)] == ["password is ***"]


def test_control_characters_are_taken_out(tmp_path: Path) -> None:
    """A log must not paint somebody's terminal."""
    path = tmp_path / "1.jsonl"
    with RunLogFile(path, str) as log:
        log.line("test", "\x1b[31mred\x1b[0m \x1b]0;title\x07bell\x07\ttab")
    assert [line.text for line in read_log(path)] == ["red bell\ttab"]


def test_a_line_that_is_far_too_long_is_cut(tmp_path: Path) -> None:
    """And says how long it was."""
    path = tmp_path / "1.jsonl"
    with RunLogFile(path, str) as log:
        log.line("test", "x" * 100_000)
    (line,) = (line.text for line in read_log(path))
    assert line.endswith("… (100000 characters, cut)")
    assert len(line) < 17_000


def test_a_log_that_is_far_too_long_says_so_once(tmp_path: Path) -> None:
    """Then it keeps no more: a test that prints for ever must not fill the disk."""
    path = tmp_path / "1.jsonl"
    path.write_bytes(b" " * (64 * 2**20 - 100) + b"\n")
    with RunLogFile(path, str) as log:
        for _ in range(10):
            log.line("test", "y" * 50)
    assert list(read_log(path))[-1].text == "the log has reached 64 MiB: nothing more is kept"
    assert path.stat().st_size < 64 * 2**20 + 500


def test_what_a_crash_left_unfinished_is_no_line(tmp_path: Path) -> None:
    """A half-written line, or one cut inside a character, does not keep the others from being read."""
    path = tmp_path / "1.jsonl"
    with RunLogFile(path, str) as log:
        log.line("test", "whole é")
    whole = path.read_bytes()
    path.write_bytes(whole + whole[: whole.index(b"\xa9")])
    assert [line.text for line in read_log(path)] == ["whole é"]


def test_following_sees_every_line_until_the_end(tmp_path: Path) -> None:
    """Also those written between the last look and the end."""
    path = tmp_path / "1.jsonl"
    ended = threading.Event()

    def write() -> None:
        with RunLogFile(path, str) as log:
            for number in range(200):
                log.line("test", str(number))
        ended.set()

    writer = threading.Thread(target=write)
    writer.start()
    seen = [line.text for line in follow(path, ended.is_set)]
    writer.join()
    assert seen == [str(number) for number in range(200)]


def test_threads_do_not_mix_their_lines(tmp_path: Path) -> None:
    """Build output and events come from several threads."""
    path = tmp_path / "1.jsonl"
    with RunLogFile(path, str) as log:
        threads = [
            threading.Thread(target=lambda n=n: [log.line("test", f"{n}" * 200) for _ in range(100)]) for n in "abcd"
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    lines = path.read_text().splitlines()
    assert len(lines) == 400
    assert all(len(set(json.loads(line)["text"])) == 1 for line in lines)


def test_a_log_that_cannot_be_written(tmp_path: Path) -> None:
    """It names the file and the reason."""
    (tmp_path / "file").touch()
    with pytest.raises(StoreFault, match=r"cannot write .*/file/1.jsonl: "):
        RunLogFile(tmp_path / "file" / "1.jsonl", str)
