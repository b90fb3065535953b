"""The files of HAProxy's directory."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.balancer.haproxy.directory import Directory
from pipeline.base.errors import BalancerFault


def test_drafts_are_removed(tmp_path: Path) -> None:
    """Partial files of a crash are removed, and all other files stay."""
    kept = {"registry.json", "haproxy.cfg", "listener.8080.keys.map", "access.log.1", ".hidden", "holder.sock"}
    for name in (*kept, ".registry.json.4711", ".functions.sock.12"):
        (tmp_path / name).touch()
    (tmp_path / "draft.abc").mkdir()
    (tmp_path / "draft.abc" / "haproxy.cfg").touch()
    Directory(tmp_path).remove_drafts()
    assert {path.name for path in tmp_path.iterdir()} == kept


def test_files_of_no_configuration_are_removed(tmp_path: Path) -> None:
    """Generated files that the current configuration does not name are removed."""
    for name in ("listener.8080.keys.map", "listener.9090.keys.map", "certificate.x.pem", "access.log"):
        (tmp_path / name).touch()
    Directory(tmp_path).remove_others({"listener.8080.keys.map"})
    assert {path.name for path in tmp_path.iterdir()} == {"listener.8080.keys.map", "access.log"}


def test_a_file_that_is_so_already_is_not_written(tmp_path: Path) -> None:
    """A file with the same content is not written, so a full disk does not matter."""
    files = Directory(tmp_path)
    files.write("haproxy.cfg", "global\n")
    before = (tmp_path / "haproxy.cfg").stat()
    files.write("haproxy.cfg", "global\n")
    assert (tmp_path / "haproxy.cfg").stat().st_ino == before.st_ino
    (tmp_path / "folder").mkdir()
    with pytest.raises(BalancerFault, match="cannot write"):
        files.write("folder/missing/haproxy.cfg", "global\n")
