"""The balancer's files in a folder that cannot be read. A symbolic link to itself is one for every user."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.balancer.flows.wanted_flows import FlowFile, WantedFlows
from pipeline.balancer.haproxy.activator.table import HoldingTable
from pipeline.balancer.haproxy.functions.table import FunctionTable
from pipeline.balancer.registry import Registry
from pipeline.balancer.registry_file import RegistryFile
from pipeline.base.errors import BalancerFault
from pipeline.base.files import file_stamp


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder whose files can be neither read nor written."""
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    return loop


def test_a_stamp_changes_with_the_file(tmp_path: Path) -> None:
    """With its size, and with another file of its name."""
    path, other = tmp_path / "file", tmp_path / "other"
    assert file_stamp(path) is None
    path.write_text("a")
    stamps = [file_stamp(path)]
    path.write_text("ab")
    stamps.append(file_stamp(path))
    other.write_text("ab")
    other.replace(path)
    stamps.append(file_stamp(path))
    assert None not in stamps
    assert len(set(stamps)) == 3
    assert file_stamp(path) == stamps[-1]


def test_what_is_there_is_forgotten_until_it_can_be_read(folder: Path, tmp_path: Path) -> None:
    """The tables are empty then, as without a file."""
    assert file_stamp(folder / "file") is None
    assert HoldingTable(folder).groups() == {}
    assert FunctionTable(folder).groups() == frozenset()
    flows = FlowFile(folder)
    assert flows.found() is None
    folder.unlink()
    folder.mkdir()
    flows.write(WantedFlows())
    assert flows.found() == WantedFlows()
    folder.rename(tmp_path / "moved")
    folder.symlink_to(folder)
    assert flows.found() is None


def test_the_registry_names_the_reason(folder: Path) -> None:
    """It is not empty, since that would remove everything."""
    file = RegistryFile(folder / "registry.json")
    with pytest.raises(BalancerFault, match=r"^cannot read .*/loop/registry\.json: Too many levels of symbolic links$"):
        file.read()
    with pytest.raises(BalancerFault, match=r"^cannot read "):
        file.write(Registry())
