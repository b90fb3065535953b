"""Stacks of things in memory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.stack_home import StackHome
from tests.unit.stacks.laboratory import Laboratory


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Laboratory]:
    """One stack and its world."""
    lab = Laboratory(tmp_path)
    yield lab
    assert lab.world.violations == []
    lab.store.close()


@pytest.fixture
def home(tmp_path: Path) -> Iterator[StackHome]:
    """The stacks of a home."""
    home = StackHome(tmp_path)
    yield home
    home.stacks.close()
    assert home.world.violations == []
