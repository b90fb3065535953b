"""Watches report every change, and nothing that a reader does."""

from __future__ import annotations

import subprocess
import threading
from pathlib import Path

import pytest

from pipeline.base.errors import SystemFault
from pipeline.base.watch import watch, watch_file
from tests.support.waiting import DEADLINE, until

_QUEUE = Path("/proc/sys/fs/inotify/max_queued_events")


class Follower:
    """Counts the calls of `changed`, and records the paths whose relevance was asked."""

    def __init__(self) -> None:
        self.told = 0
        self.paths: list[str] = []

    def relevant(self, path: str) -> bool:
        self.paths.append(path)
        return True

    def changed(self) -> None:
        self.told += 1


@pytest.fixture
def follower() -> Follower:
    return Follower()


def test_readers_make_no_event(tmp_path: Path, follower: Follower) -> None:
    """Listing, opening and reading files wakes nothing. Only the write after them is reported."""
    (tmp_path / "a").write_text("content")
    with watch({tmp_path: True}, follower.relevant, follower.changed):
        subprocess.run(["cat", "a"], cwd=tmp_path, check=True, capture_output=True)
        subprocess.run(["find", "."], cwd=tmp_path, check=True, capture_output=True)
        (tmp_path / "b").write_text("content")
        until(lambda: follower.told, "the write is reported")
    assert set(follower.paths) == {str(tmp_path / "b")}


def test_what_is_made_in_new_folders_is_reported(tmp_path: Path, follower: Follower) -> None:
    """Folders that appear later are watched too, with those in them, also if they were filled before."""
    made = tmp_path / "outside" / "deep"
    made.mkdir(parents=True)
    inside = tmp_path / "inside"
    inside.mkdir()
    with watch({inside: True}, follower.relevant, follower.changed):
        (tmp_path / "outside").rename(inside / "moved")
        until(lambda: follower.told, "the folder is reported")
        follower.paths.clear()
        (inside / "moved" / "deep" / "file").write_text("")
        until(lambda: str(inside / "moved" / "deep" / "file") in follower.paths, "the file is reported")


def test_a_folder_that_is_not_recursive(tmp_path: Path, follower: Follower) -> None:
    """Nothing below its own entries is reported."""
    (tmp_path / "below").mkdir()
    with watch({tmp_path: False}, follower.relevant, follower.changed):
        (tmp_path / "below" / "file").write_text("")
        (tmp_path / "last").write_text("")
        until(lambda: follower.told, "the last file is reported")
    assert set(follower.paths) == {str(tmp_path / "last")}


@pytest.mark.parametrize("how", ["removed", "moved"])
def test_a_folder_that_is_gone(how: str, tmp_path: Path, follower: Follower) -> None:
    """Its watch is no longer intact, which is reported, also if another folder is at its path."""
    folder = tmp_path / "folder"
    folder.mkdir()
    with watch({folder: False}, lambda _: False, follower.changed) as watched:
        assert watched.is_intact()
        folder.rmdir() if how == "removed" else folder.rename(tmp_path / "other")
        until(lambda: follower.told, "the removal is reported")
        folder.mkdir()
        assert not watched.is_intact()


def test_a_folder_above_that_is_moved(tmp_path: Path, follower: Follower) -> None:
    """It takes the watched folder along, so it is reported as if that were moved."""
    folder = tmp_path / "above" / "between" / "folder"
    folder.mkdir(parents=True)
    with watch({folder: True}, lambda _: False, follower.changed) as watched:
        (tmp_path / "above").rename(tmp_path / "elsewhere")
        until(lambda: follower.told, "the move is reported")
        assert not watched.is_intact()


def test_a_folder_above_that_another_watch_has(tmp_path: Path, follower: Follower) -> None:
    """The other watch still gets its events, and this one does not get them."""
    folder = tmp_path / "folder"
    folder.mkdir()
    other = Follower()
    with watch({tmp_path: False}, other.relevant, other.changed), watch({folder: True}, bool, follower.changed):
        (tmp_path / "file").write_text("")
        until(lambda: other.told, "the file is reported")
        (folder / "file").write_text("")
        until(lambda: follower.told, "the file in the folder is reported")
    assert str(tmp_path / "file") in other.paths


def test_the_stamp_shows_what_the_kernel_did_not_report(tmp_path: Path, follower: Follower) -> None:
    """A file that is added, removed, or overwritten in place changes it. One that is not relevant does not."""
    (tmp_path / "deep").mkdir()
    with watch({tmp_path: True}, lambda path: path.endswith("ref"), follower.changed) as watched:
        stamps = [watched.stamp()]
        ref = tmp_path / "deep" / "a-ref"
        for change in (lambda: ref.write_text("1"), lambda: ref.write_text("2"), ref.unlink):
            change()
            stamps.append(watched.stamp())
        (tmp_path / "deep" / "other").write_text("")
        assert watched.stamp() == stamps[-1]
    assert stamps[0] == stamps[3]
    assert len(set(stamps)) == 3


def test_all_watches_share_a_thread(tmp_path: Path, follower: Follower) -> None:
    """A hundred watches need one thread, and each reports its own folder only."""
    folders = [tmp_path / f"{number}" for number in range(100)]
    others = Follower()
    with watch({tmp_path: False}, lambda _: False, lambda: None):
        before = set(threading.enumerate())
        for folder in folders:
            folder.mkdir()
        watches = [watch({folder: True}, others.relevant, others.changed) for folder in folders[1:]]
        for each in watches:
            each.__enter__()
        with watch({folders[0]: True}, follower.relevant, follower.changed):
            assert set(threading.enumerate()) <= before
            (folders[0] / "file").write_text("")
            until(lambda: follower.told, "the file is reported")
        for each in watches:
            each.__exit__(None, None, None)
    assert others.told == 0


def test_two_watches_of_one_folder(tmp_path: Path, follower: Follower) -> None:
    """Both are told. The end of one does not end the other."""
    other = Follower()
    with watch({tmp_path: False}, follower.relevant, follower.changed):
        with watch({tmp_path: True}, other.relevant, other.changed):
            (tmp_path / "one").write_text("")
            until(lambda: follower.told and other.told, "both are told")
        other.paths.clear()
        (tmp_path / "two").write_text("")
        until(lambda: str(tmp_path / "two") in follower.paths, "the other one is told")
    assert other.paths == []


def test_events_that_the_kernel_drops(tmp_path: Path, follower: Follower) -> None:
    """After an overflow of the kernel's queue `changed` is called, and folders that were made meanwhile are watched."""
    busy, go_on = threading.Event(), threading.Event()

    def hang(path: str) -> bool:
        busy.set()
        go_on.wait(DEADLINE)
        return path == str(tmp_path / "late" / "file")

    with watch({tmp_path: True}, hang, follower.changed):
        (tmp_path / "first").write_text("")
        assert busy.wait(DEADLINE)
        for number in range(int(_QUEUE.read_text()) + 10):
            # Two events, which the kernel does not merge.
            (tmp_path / "name").write_text("") if number % 2 else (tmp_path / "name").unlink(missing_ok=True)
        late = tmp_path / "late"
        late.mkdir()
        go_on.set()
        until(lambda: follower.told, "the overflow is reported")
        before = follower.told
        (late / "file").write_text("")
        until(lambda: follower.told > before, "the file is reported")


def test_a_file_that_another_process_writes(tmp_path: Path, follower: Follower) -> None:
    """Each write to an open file is reported, without its being closed."""
    path = tmp_path / "file"
    with path.open("wb", buffering=0) as file, watch_file(path, follower.changed):
        for count in range(3):
            before = follower.told
            file.write(b"x")
            until(lambda: follower.told > before, f"write {count}")  # noqa: B023


def test_what_cannot_be_watched(tmp_path: Path) -> None:
    """The error names the folder."""
    with pytest.raises(SystemFault, match="missing"), watch({tmp_path / "missing": False}, bool, lambda: None):
        pass
