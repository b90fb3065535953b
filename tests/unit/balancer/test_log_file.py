"""The access log's files: lines that are read once and in order, over truncations and holes."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import islice
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.balancer.haproxy.log_file import LogFile
from pipeline.balancer.haproxy.log_place import Place
from pipeline.balancer.haproxy.log_rotation import data_start, rotate


def lines(*numbers: int) -> list[bytes]:
    return [b"line %d\n" % number for number in numbers]


def append(path: Path, content: bytes) -> None:
    with path.open("ab") as file:
        file.write(content)


def write(path: Path, *numbers: int) -> None:
    append(path, b"".join(lines(*numbers)))


def empty(path: Path) -> None:
    """Empty the log as the balancer does, with its lines kept in a second file."""
    rotated = path.with_name("access.log.1")
    before = rotated.stat().st_mtime_ns if rotated.exists() else 0
    rotate(path, 0, 2**20)
    # Two rotations of a test may have the same time.
    with suppress(FileNotFoundError):
        os.utime(rotated, ns=(0, max(before + 1, rotated.stat().st_mtime_ns)))


def test_appended(tmp_path: Path) -> None:
    """Each call returns the lines since the previous one, and waits for the end of a partial line."""
    log = LogFile(tmp_path / "access.log")
    assert list(log.appended()) == []
    write(tmp_path / "access.log", 1, 2)
    append(tmp_path / "access.log", b"li")
    assert list(log.appended()) == lines(1, 2)
    append(tmp_path / "access.log", b"ne 3\n")
    assert list(log.appended()) == lines(3)
    assert list(log.appended()) == []


def test_appended_survives_the_emptying(tmp_path: Path) -> None:
    """A truncated log loses and repeats no line, even if the new file is longer."""
    path = tmp_path / "access.log"
    log = LogFile(path)
    write(path, 1, 2)
    assert list(log.appended()) == lines(1, 2)
    write(path, 3)
    empty(path)
    write(path, 4, 5, 6, 7)
    assert list(log.appended()) == lines(3, 4, 5, 6, 7)
    empty(path)
    assert list(log.appended()) == []
    write(path, 8)
    assert list(log.appended()) == lines(8)


def test_emptied_by_hand(tmp_path: Path) -> None:
    """Lines of the second file are not repeated after the log was truncated by hand."""
    path = tmp_path / "access.log"
    log = LogFile(path)
    write(path, 1)
    empty(path)
    write(path, 2)
    assert list(log.appended()) == lines(2)
    os.truncate(path, 0)
    write(path, 3)
    assert list(log.appended()) == lines(3)


@given(st.lists(st.sampled_from(["write", "look", "empty"]), max_size=40))
def test_every_line_once(tmp_path_factory: pytest.TempPathFactory, steps: list[str]) -> None:
    """Every line is read once and in order, if some of it was read before the truncation."""
    path = tmp_path_factory.mktemp("log") / "access.log"
    path.touch()
    log, seen, written, known = LogFile(path), list[bytes](), 0, False
    for step in [*steps, "look"]:
        if step == "write":
            written += 1
            write(path, written)
        elif step == "empty" and known:
            empty(path)
            known = False
        else:
            seen += (new := list(log.appended()))
            known |= bool(new) and path.stat().st_size > 0
    assert seen == lines(*range(1, written + 1))


@pytest.mark.parametrize("count", [0, 1, 3, 20_000])
def test_newest_first(tmp_path: Path, count: int) -> None:
    """Lines are read backwards over blocks and both files, without the partial last line."""
    path = tmp_path / "access.log"
    write(path, *range(count))
    empty(path)
    write(path, *range(count, 2 * count))
    append(path, b"torn")
    assert list(LogFile(path).newest_first()) == lines(*reversed(range(2 * count)))


def test_newest_first_without_a_log(tmp_path: Path) -> None:
    """A missing log has no lines."""
    assert list(LogFile(tmp_path / "access.log").newest_first()) == []


def test_skip(tmp_path: Path) -> None:
    """After `skip`, only the partial line and later ones are read."""
    path = tmp_path / "access.log"
    write(path, 1, 2)
    append(path, b"line")
    log = LogFile(path)
    log.skip()
    append(path, b" 3\n")
    assert list(log.appended()) == lines(3)


def test_skip_while_lines_are_written(tmp_path: Path) -> None:
    """Lines from before `skip` are not read again, although others are written while it looks for the last one."""
    path = tmp_path / "access.log"
    write(path, 0)
    ended = threading.Event()

    def keep_writing() -> None:
        number = 0
        with path.open("ab", buffering=0) as file:
            while not ended.is_set():
                number += 1
                # In two parts, so that there is an unfinished line at times.
                file.write(b"line ")
                file.write(b"%d\n" % number)

    writer = threading.Thread(target=keep_writing)
    writer.start()
    try:
        for _ in range(200):
            log = LogFile(path)
            before = path.read_bytes().count(b"\n")
            log.skip()
            found = list(log.appended())
            assert all(int(line.split()[1]) >= before for line in found)
    finally:
        ended.set()
        writer.join()


WRITERS = pytest.mark.parametrize("flags", [0, os.O_APPEND], ids=["at its own position", "at the end"])


@contextmanager
def writer(path: Path, flags: int) -> Iterator[int]:
    """Open the log as HAProxy has it: it keeps its position, or it appends."""
    log = os.open(path, os.O_WRONLY | os.O_CREAT | flags, 0o600)
    try:
        os.lseek(log, 0, os.SEEK_END)
        yield log
    finally:
        os.close(log)


@WRITERS
@given(st.lists(st.sampled_from(["write", "look", "empty", "restart"]), max_size=40))
def test_every_line_once_whatever_the_writer_does(
    tmp_path_factory: pytest.TempPathFactory, flags: int, steps: list[str]
) -> None:
    """A writer that keeps its position leaves a hole. Every line is read once and in order, as above."""
    path = tmp_path_factory.mktemp("log") / "access.log"
    path.touch()
    log, seen, written, known = LogFile(path), list[bytes](), 0, False
    for run in "\n".join([*steps, "look"]).split("restart"):
        with writer(path, flags) as descriptor:
            for step in run.split():
                if step == "write":
                    written += 1
                    os.write(descriptor, *lines(written))
                elif step == "empty" and known:
                    empty(path)
                    known = False
                elif step == "look":
                    seen += (new := list(log.appended()))
                    known |= bool(new) and path.stat().st_size > 0
    assert seen == lines(*range(1, written + 1))
    rotated = path.with_name("access.log.1")
    assert not rotated.exists() or b"\0" not in rotated.read_bytes().lstrip(b"\0")


@WRITERS
def test_newest_first_and_skip_over_a_hole(tmp_path: Path, flags: int) -> None:
    """The second file has the lines of the last truncation only, and `skip` continues at the end."""
    path = tmp_path / "access.log"
    with writer(path, flags) as descriptor:
        os.write(descriptor, b"".join(lines(*range(20_000))))
        empty(path)
        assert list(LogFile(path).newest_first()) == lines(*reversed(range(20_000)))
        os.write(descriptor, b"".join(lines(*range(20_000, 20_010))))
        assert list(LogFile(path).newest_first()) == lines(*reversed(range(20_010)))
        empty(path)
        os.write(descriptor, *lines(20_010))
        assert list(LogFile(path).newest_first()) == lines(*reversed(range(20_000, 20_011)))
        log = LogFile(path)
        log.skip()
        os.write(descriptor, *lines(20_011))
        assert list(log.appended()) == lines(20_011)


def test_a_hole_costs_no_time(tmp_path: Path) -> None:
    """A hole of a terabyte is not read, does not count as size, and is not copied."""
    path = tmp_path / "access.log"
    with writer(path, 0) as descriptor:
        os.lseek(descriptor, 2**40, os.SEEK_SET)
        os.write(descriptor, b"".join(lines(1, 2)))
    started = time.process_time()
    log = LogFile(path)
    assert list(log.appended()) == lines(1, 2)
    assert list(log.newest_first()) == lines(2, 1)
    rotate(path, 2**16, 2**16)
    assert list(log.newest_first()) == lines(2, 1)
    rotate(path, 0, 2**16)
    with path.with_name("access.log.1").open("rb") as kept:
        kept.seek(data_start(kept))
        assert kept.read() == b"".join(lines(1, 2))
    assert time.process_time() - started < 1


def test_a_log_is_rotated_while_it_is_read(tmp_path: Path) -> None:
    """A reader that began before a rotation, and one that continues after it, gets each line once."""
    path = tmp_path / "access.log"
    write(path, *range(30_000))
    log = LogFile(path)
    newest, following = log.newest_first(), log.appended()
    seen, continued = [next(newest) for _ in range(10)], [next(following) for _ in range(10)]
    empty(path)
    write(path, 30_000)
    assert [*seen, *newest] == lines(*reversed(range(30_000)))
    continued += following
    assert [*continued, *log.appended()] == lines(*range(30_001))


def test_a_rotation_that_was_killed(tmp_path: Path) -> None:
    """Lines that are in both files, because the truncation is missing, are read once."""
    path = tmp_path / "access.log"
    write(path, *range(100))
    before = path.read_bytes()
    with path.with_name("access.log.1").open("wb") as rotated:
        rotated.seek(before.index(b"line 50"))
        rotated.write(before[rotated.tell() :])
    write(path, 100)
    assert list(LogFile(path).newest_first()) == lines(*reversed(range(101)))


@pytest.mark.parametrize("rotated", [0, 1, 2, 3, 7])
@pytest.mark.parametrize("size", [1, 3, 4, 20])
def test_pages(tmp_path: Path, rotated: int, size: int) -> None:
    """Pages that continue before the last line of the previous one have each line once, also over a rotation."""
    path, numbers = tmp_path / "access.log", [1, 1, 2, 3, 3, 3, 2, 1, 1, 1]
    write(path, *numbers)
    log, seen, place = LogFile(path), list[bytes](), None
    for turn in range(1, 12):
        if turn == rotated:
            empty(path)
            if turn > 1:
                write(path, 9)
        page = [*islice(log.before(place), size)]
        seen += [line for _, line in page]
        place = Place.of(*page[-1]) if page else place
    assert seen == lines(*reversed(numbers))


def test_a_place_that_is_gone(tmp_path: Path) -> None:
    """Before a line that is no longer kept, there is nothing, and no other line is taken for it."""
    path = tmp_path / "access.log"
    write(path, 1, 2, 3)
    *_, (offset, line) = LogFile(path).before(None)
    os.truncate(path, 0)
    write(path, 4, 5, 6)
    assert list(LogFile(path).before(Place.of(offset, line))) == []


@pytest.mark.parametrize(
    "text", ["", "1", "1-2", "-1-00000000", "1-0000000g", "9" * 40 + "-00000000", "\u0661-00000000"]
)
def test_bad_places(text: str) -> None:
    """Only what was printed for a place is one."""
    with pytest.raises(ValueError, match="is not the position of an entry"):
        Place.from_text(text)
    assert Place.from_text(str(Place.of(7, b"x"))) == Place.of(7, b"x")


@pytest.mark.parametrize(("max_bytes", "first", "is_found"), [(None, 3, True), (100, 3, True), (24, 7, False)])
def test_rewind_is_bounded(tmp_path: Path, max_bytes: int | None, first: int, *, is_found: bool) -> None:
    """It reads as many bytes as it may, and says whether it has found an earlier line."""
    path = tmp_path / "access.log"
    write(path, *range(10))
    log = LogFile(path)
    assert log.rewind(lambda line: line == b"line 2\n", max_bytes) == is_found
    assert list(log.appended()) == lines(*range(first, 10))


def test_rewind_of_a_log_that_was_emptied(tmp_path: Path) -> None:
    """Before its first line, a log has lost lines if it was ever emptied, and none otherwise."""
    path = tmp_path / "access.log"
    assert LogFile(path).rewind(lambda _: False)
    write(path, 1, 2)
    assert LogFile(path).rewind(lambda _: False)
    empty(path)
    write(path, 3)
    assert not LogFile(path).rewind(lambda _: False)
    assert LogFile(path).rewind(lambda line: line == b"line 1\n")


def test_only_whole_lines_are_kept(tmp_path: Path) -> None:
    """A second file that cannot have all of the log begins with a whole line."""
    path = tmp_path / "access.log"
    write(path, *range(10))
    rotate(path, 10, 20)
    assert path.with_name("access.log.1").read_bytes().lstrip(b"\0") == b"".join(lines(8, 9))


@pytest.mark.parametrize("read", range(1, 8))
def test_equal_lines_are_read_once(tmp_path: Path, read: int) -> None:
    """After a rotation, a reader continues where it was, also among equal lines. Requests at once look the same."""
    path = tmp_path / "access.log"
    numbers = [1, 1, 2, 1, 1, 2, 1]
    write(path, *numbers[:read])
    log = LogFile(path)
    list(log.appended())
    write(path, *numbers[read:], 3)
    rotate(path, 0, 2**16)
    write(path, 4)
    assert list(log.appended()) == lines(*numbers[read:], 3, 4)
