"""A run's log: whole lines, masked, of bounded size, readable while it grows."""

from __future__ import annotations

import json
import resource
import threading
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.base.errors import StoreFault
from pipeline.base.masking import Mask, forms_of
from pipeline.store.run_log import RunLogFile, follow, read_log
from tests.support.sample import sampled


def test_lines_come_back_with_their_stage(tmp_path: Path) -> None:
    """Lines are read in order, each with its stage and time."""
    path = tmp_path / "shop" / "1.jsonl"
    with RunLogFile(path, str) as log:
        log.line("build", "Step 1/2 : FROM base")
        log.line("test", "ok")
    lines = list(read_log(path))
    assert [(line.stage, line.text) for line in lines] == [("build", "Step 1/2 : FROM base"), ("test", "ok")]
    assert all(line.at.endswith("Z") for line in lines)
    assert path.stat().st_mode & 0o777 == 0o600


def test_secrets_never_reach_the_disk(tmp_path: Path) -> None:
    """Secrets are masked before a line is written."""
    path = tmp_path / "1.jsonl"
    with RunLogFile(path, Mask(["hunter-two"])) as log:
        log.line("test", "password is hunter-two")
    assert b"hunter" not in path.read_bytes()
    assert [line.text for line in read_log(path)] == ["password is ***"]


def test_a_secret_that_a_colour_stands_in(tmp_path: Path) -> None:
    """A secret is masked when colour codes split it, and when it contains control characters itself."""
    path = tmp_path / "1.jsonl"
    with RunLogFile(path, Mask(["hunter-two", "bell\x07-ringer"])) as log:
        log.line("test", "hunter\x1b[1m-two, bell\x07-ringer")
    assert [line.text for line in read_log(path)] == ["***, ***"]


# None of these characters occurs in the text around the secret.
letters = st.text('abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/+=&"\\é', min_size=8, max_size=80)


@settings(max_examples=sampled(60), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(letters, st.integers(16 * 1024, 64 * 1024), st.integers(1, 3), st.data())
def test_no_piece_of_a_secret_in_an_endless_line(secret: str, piece: int, pieces: int, data: st.DataObject) -> None:
    """No character of a secret is written, in any encoding and for any position of a cut."""
    form = data.draw(st.sampled_from(sorted({form for form in forms_of(secret) if len(form) >= 8})))
    before = pieces * piece - data.draw(st.integers(0, len(form)), "characters before the cut")
    endless = "." * before + form + "." * 500
    with TemporaryDirectory() as folder:
        path = Path(folder) / "1.jsonl"
        with RunLogFile(path, Mask([secret])) as log:
            for start in range(0, len(endless), piece):
                log.line("test", endless[start : start + piece])
        texts = [line.text for line in read_log(path)]
    assert len(texts) == -(-len(endless) // piece)
    assert all(set(text.partition(" … (")[0]) <= {".", "*"} for text in texts)


@settings(max_examples=sampled(60), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(letters, st.data())
def test_a_secret_over_a_cut_is_masked_on_both_sides(secret: str, data: st.DataObject) -> None:
    """The piece after the cut loses only the rest of the secret. Lines of another stage change nothing."""
    cut = data.draw(st.integers(1, len(secret) - 1))
    with TemporaryDirectory() as folder:
        path = Path(folder) / "1.jsonl"
        with RunLogFile(path, Mask([secret])) as log:
            log.line("test", "." * 20_000 + secret[:cut])
            log.line("build", secret[cut:])
            log.line("test", secret[cut:] + " done")
            log.line("test", "plain")
        texts = [line.text for line in read_log(path)]
    assert set(texts[0].partition(" … (")[0]) == {"."}
    assert texts[2].strip("*") == " done"
    assert texts[3] == "plain"


def test_control_characters_are_taken_out(tmp_path: Path) -> None:
    """Control characters are removed, so a log cannot change the colours of a terminal."""
    path = tmp_path / "1.jsonl"
    with RunLogFile(path, str) as log:
        log.line("test", "\x1b[31mred\x1b[0m \x1b]0;title\x07bell\x07\ttab")
    assert [line.text for line in read_log(path)] == ["red bell\ttab"]


def test_a_line_that_is_far_too_long_is_cut(tmp_path: Path) -> None:
    """A line that is too long is cut, and ends with its original length."""
    path = tmp_path / "1.jsonl"
    with RunLogFile(path, str) as log:
        log.line("test", "x" * 100_000)
    (line,) = (line.text for line in read_log(path))
    assert line.endswith("… (100000 characters, cut)")
    assert len(line) < 17_000


def test_a_log_that_is_far_too_long_says_so_once(tmp_path: Path) -> None:
    """Later lines are dropped, so that an endless test does not fill the disk."""
    path = tmp_path / "1.jsonl"
    path.write_bytes(b" " * (64 * 2**20 - 100) + b"\n")
    with RunLogFile(path, str) as log:
        for _ in range(10):
            log.line("test", "y" * 50)
    assert list(read_log(path))[-1].text == "the log has reached 64 MiB, later lines are dropped"
    assert path.stat().st_size < 64 * 2**20 + 500


def test_what_a_crash_left_unfinished_is_no_line(tmp_path: Path) -> None:
    """The other lines can be read beside a half-written one, or one that is cut inside a character."""
    path = tmp_path / "1.jsonl"
    with RunLogFile(path, str) as log:
        log.line("test", "whole é")
    whole = path.read_bytes()
    path.write_bytes(whole + whole[: whole.index(b"\xa9")])
    assert [line.text for line in read_log(path)] == ["whole é"]


def test_a_disk_that_was_full_for_a_while(tmp_path: Path) -> None:
    """A line that a full disk cut short damages no line before or after it."""
    path = tmp_path / "1.jsonl"
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    with RunLogFile(path, str) as log:
        log.line("test", "before")
        resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 30, hard))
        try:
            with pytest.raises(StoreFault, match="cannot write the run's log: File too large"):
                log.line("test", "lost")
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert not path.read_bytes().endswith(b"\n")
        log.line("test", "after")
    assert [line.text for line in read_log(path)] == ["before", "after"]


def test_what_another_process_left_unfinished_is_ended(tmp_path: Path) -> None:
    """A run that is requeued appends after the half-written line of its previous process."""
    path = tmp_path / "1.jsonl"
    path.write_text('{"at": "12:00", "stage": "te')
    with RunLogFile(path, str) as log:
        log.line("test", "whole")
    assert [line.text for line in read_log(path)] == ["whole"]


def test_what_comes_after_the_end_is_not_kept(tmp_path: Path) -> None:
    """Lines that are written after `close` are dropped without an error."""
    path = tmp_path / "1.jsonl"
    with RunLogFile(path, str) as log:
        log.line("test", "in time")
    log.line("test", "late")
    assert [line.text for line in read_log(path)] == ["in time"]


def test_every_line_says_where_the_next_begins(tmp_path: Path) -> None:
    """A reader that continues from there gets each line once, also while the run executes."""
    path = tmp_path / "1.jsonl"
    with RunLogFile(path, str) as log:
        for number in range(10):
            log.line("test", f"é {number}")
        whole = list(read_log(path))
        for index, line in enumerate(whole):
            assert list(read_log(path, line.end)) == whole[index + 1 :]
        log.line("test", "new")
    assert [line.text for line in follow(path, lambda: True, whole[-1].end)] == ["new"]
    assert list(read_log(path, 10**9)) == []


def test_following_waits_for_a_log_that_is_not_there_yet(tmp_path: Path) -> None:
    """A follower of a queued run, which has no log yet, waits for it."""
    path = tmp_path / "1.jsonl"
    asked = 0

    def finished() -> bool:
        nonlocal asked
        asked += 1
        if asked == 2:
            with RunLogFile(path, str) as log:
                log.line("test", "at last")
        return asked == 3

    assert [line.text for line in follow(path, finished)] == ["at last"]


def test_following_costs_next_to_nothing(tmp_path: Path) -> None:
    """A follower uses under 1 % of a CPU while nothing is printed."""
    path = tmp_path / "1.jsonl"
    with RunLogFile(path, str) as log:
        log.line("test", "x" * 10_000)

    def share() -> float:
        polls = iter(range(10))
        clock, processor = time.monotonic(), time.thread_time()
        assert len(list(follow(path, lambda: next(polls) == 9))) == 1
        return (time.thread_time() - processor) / (time.monotonic() - clock)

    # What else runs on the machine only makes it look dearer.
    assert min(share() for _ in range(3)) < 0.01


def test_following_sees_every_line_until_the_end(tmp_path: Path) -> None:
    """A follower sees lines that are written between its last poll and the end of the run."""
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
    """Lines that several threads write are not mixed."""
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
    """The error for a log that cannot be written names the file and the reason."""
    (tmp_path / "file").touch()
    with pytest.raises(StoreFault, match=r"cannot write .*/file/1.jsonl: "):
        RunLogFile(tmp_path / "file" / "1.jsonl", str)
