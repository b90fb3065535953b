"""Atomic file writes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pipeline.base.files import append, make_folder, remove_drafts, write_atomically


def test_the_new_content_is_there_and_private(tmp_path: Path) -> None:
    """The file has the new content and mode 0600, and no draft is left in the directory."""
    path = tmp_path / "state.json"
    write_atomically(path, "old")
    write_atomically(path, "new")
    assert path.read_text() == "new"
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_drafts_of_killed_processes_are_removed(tmp_path: Path) -> None:
    """Those of another file stay, and the file itself too."""
    path, other = tmp_path / "state.json", tmp_path / ".other.json.123"
    write_atomically(path, "old")
    for draft in (tmp_path / ".state.json.123", other):
        draft.write_text("ne")
    remove_drafts(path)
    assert sorted(tmp_path.iterdir()) == [other, path]


def test_a_failure_leaves_the_old_content(tmp_path: Path) -> None:
    """A text that cannot be encoded leaves the old content in place."""
    path = tmp_path / "state.json"
    write_atomically(path, "old")
    with pytest.raises(UnicodeEncodeError):
        write_atomically(path, "\udcff")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_the_mode_does_not_depend_on_the_umask(tmp_path: Path) -> None:
    """A file has exactly the mode that was asked for."""
    path, before = tmp_path / "hook", os.umask(0o077)
    try:
        write_atomically(path, "", 0o755)
    finally:
        os.umask(before)
    assert path.stat().st_mode & 0o777 == 0o755


def test_a_folder_is_private_and_may_exist(tmp_path: Path) -> None:
    """A folder is made with its parents, and making it again changes nothing."""
    for _ in range(2):
        make_folder(tmp_path / "a" / "b")
    assert (tmp_path / "a" / "b").stat().st_mode & 0o777 == 0o700


def test_a_folder_below_a_file(tmp_path: Path) -> None:
    """A parent that is a file is an error."""
    (tmp_path / "a").touch()
    with pytest.raises(NotADirectoryError):
        make_folder(tmp_path / "a" / "b")


def test_appending_creates_and_extends_nothing(tmp_path: Path) -> None:
    """A file that is missing or shorter than its caller knows is not what the caller means."""
    path = tmp_path / "file"
    with pytest.raises(FileNotFoundError):
        append(path, b"line\n", 0)
    assert not path.exists()
    path.write_bytes(b"short")
    with pytest.raises(OSError, match="shorter"):
        append(path, b"line\n", 20)
    assert path.read_bytes() == b"short"
    append(path, b"ening\n", 5)
    append(path, b"again\n", 5)
    assert path.read_bytes() == b"shortagain\n"
