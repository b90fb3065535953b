"""A file that is replaced on a full disk."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest

from pipeline.base.reserve import write_with_reserve


def fill(folder: Path) -> None:
    """Leave no byte free."""
    with suppress(OSError), (folder / "full").open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))


def test_a_full_disk_keeps_space_for_the_file(small_disk: Path) -> None:
    """It is replaced again and again, with the mode and the bytes of any other write."""
    path = small_disk / "registry.json"
    write_with_reserve(path, "first")
    fill(small_disk)
    for number in range(5):
        content = f"{number} " * 4000
        write_with_reserve(path, content)
        assert path.read_text().rstrip(" ") == content.rstrip(" ")
        assert path.stat().st_mode & 0o777 == 0o600
        # Another program takes every byte that is freed.
        with suppress(OSError), (small_disk / f"more{number}").open("wb", buffering=0) as file:
            while True:
                file.write(bytes(512))


def test_content_beyond_the_reserve_changes_nothing(small_disk: Path) -> None:
    """The error is that of a full disk, and the former content stays."""
    path = small_disk / "registry.json"
    write_with_reserve(path, "first")
    fill(small_disk)
    with pytest.raises(OSError, match="No space left"):
        write_with_reserve(path, "x" * 300_000)
    assert path.read_text() == "first"
    write_with_reserve(path, "second")
    assert path.read_text().rstrip() == "second"


def test_other_errors_do_not_use_the_reserve(tmp_path: Path) -> None:
    """A folder that is missing is no full disk."""
    with pytest.raises(FileNotFoundError):
        write_with_reserve(tmp_path / "gone" / "registry.json", "first")
