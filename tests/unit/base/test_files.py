"""Atomic file writes."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.base.files import write_atomically


def test_the_new_content_is_there_and_private(tmp_path: Path) -> None:
    """The file has the new content and mode 0600, and no draft is left in the directory."""
    path = tmp_path / "state.json"
    write_atomically(path, "old")
    write_atomically(path, "new")
    assert path.read_text() == "new"
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_a_failure_leaves_the_old_content(tmp_path: Path) -> None:
    """A text that cannot be encoded leaves the old content in place."""
    path = tmp_path / "state.json"
    write_atomically(path, "old")
    with pytest.raises(UnicodeEncodeError):
        write_atomically(path, "\udcff")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]
