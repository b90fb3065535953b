"""A project with the smallest pipeline.yaml, and its store."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.base.home import Home
from pipeline.store.store import Store
from tests.support.pipeline_yaml import MINIMAL
from tests.support.waiting import DEADLINE


@pytest.fixture(autouse=True)
def _patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a busy machine take more than a second to look at the containers."""
    monkeypatch.setattr("pipeline.runner.engine_view.TIMEOUT", DEADLINE)


@pytest.fixture(autouse=True)
def _user(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let anna run the commands."""
    monkeypatch.setenv("LOGNAME", "anna")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    """The home of a pipeline without runs. Its file is in the current directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PENSTOCK_HOME", str(tmp_path / "home"))
    Path("pipeline.yaml").write_text(MINIMAL)
    return Home.locate()


@pytest.fixture
def store(home: Home) -> Iterator[Store]:
    """The store of the home."""
    with Store(home.database) as store:
        yield store
