"""The spool: what hooks leave in it, and what others do."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pipeline.triggers.spool import Spool


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "spool").mkdir()
    return tmp_path / "spool"


def test_the_repository_of_each_file_is_returned(folder: Path) -> None:
    """A path may be any bytes. Files that are being written are left out."""
    (folder / "1").write_text("/srv/shop.git\n")
    (folder / "2").write_bytes(b"/srv/\xff\n")
    (folder / ".3").write_text("/srv/part")
    found = Spool(folder).files()
    assert found == {folder / "1": Path("/srv/shop.git"), folder / "2": Path(os.fsdecode(b"/srv/\xff"))}


def test_what_is_no_regular_file_is_left_alone(folder: Path) -> None:
    """It neither blocks nor fails: a FIFO, a device, a folder, a link, a socket, a huge file."""
    os.mkfifo(folder / "fifo")
    (folder / "folder").mkdir()
    (folder / "link").symlink_to("/dev/zero")
    (folder / "broken").symlink_to("nowhere")
    (folder / "1").write_text("/srv/shop.git\n")
    with (folder / "huge").open("wb") as huge:
        huge.truncate(2**40)
    assert set(Spool(folder).files()) == {folder / "1", folder / "huge"}


def test_a_folder_that_is_removed_is_made_again(folder: Path) -> None:
    """With its mode."""
    folder.rmdir()
    assert Spool(folder).files() == {}
    assert folder.stat().st_mode & 0o777 == 0o700
