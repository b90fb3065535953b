"""The Deploy stage with a service in place of one in Docker."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from pipeline.api import StageContext
from pipeline.base.home import Home
from pipeline.config.load import load
from pipeline.runner.context import PipelineContext
from pipeline.store.store import Store
from stages.deploy import open_rollout, release_deployment, stage
from tests.unit.deploy.deployments import PIPELINE, Service


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Service:
    """The service that the Deploy stage works on, in place of one in Docker."""
    service = Service()
    monkeypatch.setattr(open_rollout, "ReleaseRollout", lambda *_: service)
    balancer = SimpleNamespace(
        check_deletion_protection=lambda _: None,
        waiting_after=lambda *_: service.waiting,
        declaration=lambda _: None,
    )
    for module in (stage, open_rollout):
        monkeypatch.setattr(module, "local_engine", lambda _: service.engine)
        monkeypatch.setattr(module, "open_balancer", lambda _: balancer)
    monkeypatch.setattr(release_deployment, "run_release_command", lambda *_: service.step("release command"))
    monkeypatch.setattr(stage, "prune", lambda *_, keep, hosts: service.step("prune"))
    return service


@pytest.fixture
def context(tmp_path: Path) -> Iterator[StageContext]:
    file = tmp_path / "pipeline.yaml"
    file.write_text(PIPELINE % 1)
    home = Home.locate({"PENSTOCK_HOME": str(tmp_path / "home")})
    with Store(home.database) as store:
        yield PipelineContext(home, load(file), store).stage_context(run=1)
