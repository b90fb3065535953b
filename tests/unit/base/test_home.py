"""Where the state is kept, and that nobody else can read it."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.base.errors import StoreFault
from pipeline.base.home import Home


def test_it_is_made_for_its_owner_only(tmp_path: Path) -> None:
    """The balancer's sockets and the logs are in it."""
    home = Home.locate({"PENSTOCK_HOME": str(tmp_path / "state")})
    assert {p.stat().st_mode & 0o777 for p in (home.root, home.balancer, home.logs)} == {0o700}


def test_xdg_decides_where_no_variable_does(tmp_path: Path) -> None:
    """As the desktop's rules for state have it."""
    assert Home.locate({"XDG_STATE_HOME": str(tmp_path)}).root == tmp_path / "penstock"


def test_two_homes_have_two_ids(tmp_path: Path) -> None:
    """In Docker they must not take each other's containers."""
    first, second = (Home.locate({"PENSTOCK_HOME": str(tmp_path / name)}) for name in "ab")
    assert first.id != second.id


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    """It says which variable to set."""
    (tmp_path / "file").touch()
    with pytest.raises(StoreFault) as caught:
        Home.locate({"PENSTOCK_HOME": str(tmp_path / "file" / "state")})
    assert caught.value.hint == "set PENSTOCK_HOME to a directory you may write to"
