"""The daemon of a home: how it ends."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from pipeline.base.home import Home
from pipeline.daemon.daemon import Daemon
from pipeline.daemon.supervisor import PipelineSupervisor
from pipeline.store.store import Store
from tests.support.pipeline_yaml import MINIMAL
from tests.support.waiting import DEADLINE


def test_the_end_says_what_it_waits_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once, as long as it waits for the same."""
    file, ending, reports = tmp_path / "pipeline.yaml", threading.Event(), list[str]()
    file.write_text(MINIMAL)
    looks: list[PipelineSupervisor] = []

    def describe(supervisor: PipelineSupervisor) -> str:
        looks.append(supervisor)
        if len(looks) == 2:
            ending.set()
        return "run 1 of shop in Deploy"

    monkeypatch.setattr(PipelineSupervisor, "stop", lambda *_: ending.wait(DEADLINE))
    monkeypatch.setattr(PipelineSupervisor, "describe_work", describe)
    home = Home.locate({"PENSTOCK_HOME": str(tmp_path / "home")})
    with Store(home.database) as store:
        Daemon(home, store, [file]).close(80, reports.append)
    assert reports == ["stopping: waits up to 80 s for run 1 of shop in Deploy"]
