"""The location of the state directory and its permissions."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.base.errors import StoreFault
from pipeline.base.home import Home


def test_it_is_made_for_its_owner_only(tmp_path: Path) -> None:
    """Every directory of a home has mode 0700."""
    home = Home.locate({"PENSTOCK_HOME": str(tmp_path / "state")})
    assert {p.stat().st_mode & 0o777 for p in (home.root, home.balancer, home.logs)} == {0o700}


def test_xdg_decides_where_no_variable_does(tmp_path: Path) -> None:
    """Without PENSTOCK_HOME, the home is in the XDG state directory."""
    assert Home.locate({"XDG_STATE_HOME": str(tmp_path)}).root == tmp_path / "penstock"


def test_two_homes_have_two_ids(tmp_path: Path) -> None:
    """Two homes have different ids, so neither takes the other's containers."""
    first, second = (Home.locate({"PENSTOCK_HOME": str(tmp_path / name)}) for name in "ab")
    assert first.id != second.id


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    """The hint of an unwritable home names PENSTOCK_HOME."""
    (tmp_path / "file").touch()
    with pytest.raises(StoreFault) as caught:
        Home.locate({"PENSTOCK_HOME": str(tmp_path / "file" / "state")})
    assert caught.value.hint == "set PENSTOCK_HOME to a writable directory"
