"""Deployments, and the releases that they activate."""

from __future__ import annotations

import signal
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from pipeline.base.clock import Stamp
from pipeline.base.errors import StoreFault
from pipeline.store.records import DeploymentState, Progress, ReleaseState
from pipeline.store.store import Store
from tests.support.started_runs import begin_run


def release(store: Store, pipeline: str = "shop") -> int:
    run = begin_run(store, pipeline)
    return store.releases.create(
        pipeline, run.number, sha="a" * 40, subject="s", image_id="sha256:1", image_tag="shop:1", spec="{}"
    ).number


def deploy(store: Store, before: int | None, after: int | None, state: DeploymentState) -> None:
    store.deployments.finish(store.deployments.begin("shop", 1, before, after), state)


def test_a_new_release_is_pending_and_belongs_to_its_run(store: Store) -> None:
    """Releases are numbered per pipeline."""
    assert [release(store, name) for name in ("shop", "blog", "shop")] == [1, 1, 2]
    found = store.releases.get("shop", 2)
    assert found is not None
    assert (found.state, found.run, found.image_tag) == (ReleaseState.PENDING, 2, "shop:1")
    assert store.queue.run("shop", 2).release == 2
    assert store.releases.get("shop", 3) is None


def test_a_successful_deployment_activates_its_release(store: Store) -> None:
    """The previous release retires in the same transaction."""
    first, second = release(store), release(store)
    deploy(store, None, first, DeploymentState.SUCCEEDED)
    deploy(store, first, second, DeploymentState.SUCCEEDED)
    assert [(r.number, r.state) for r in store.releases.all("shop")] == [
        (second, ReleaseState.ACTIVE),
        (first, ReleaseState.RETIRED),
    ]


@pytest.mark.parametrize("state", [DeploymentState.ROLLED_BACK, DeploymentState.FAILED, DeploymentState.INTERRUPTED])
def test_an_unsuccessful_deployment_keeps_the_active_release(state: DeploymentState, store: Store) -> None:
    """An unsuccessful deployment marks its release as failed and keeps the active one."""
    first, second = release(store), release(store)
    deploy(store, None, first, DeploymentState.SUCCEEDED)
    deploy(store, first, second, state)
    active = store.releases.active("shop")
    assert active is not None
    assert active.number == first
    assert store.releases.all("shop")[0].state is ReleaseState.FAILED


def test_a_deployment_to_nothing_leaves_no_active_release(store: Store) -> None:
    """`pipeline down` retires the active release."""
    first = release(store)
    deploy(store, None, first, DeploymentState.SUCCEEDED)
    deploy(store, first, None, DeploymentState.SUCCEEDED)
    assert store.releases.active("shop") is None


def test_a_second_open_deployment_is_refused(store: Store) -> None:
    """The database rejects a second open deployment of a pipeline."""
    first = release(store)
    store.deployments.begin("shop", 1, None, first)
    with pytest.raises(StoreFault, match="UNIQUE"):
        store.deployments.begin("shop", 1, None, first)
    found = store.deployments.open("shop")
    assert found is not None
    assert (found.run, found.from_release, found.to_release, found.state) == (1, None, first, DeploymentState.RUNNING)


STAMP = Stamp(datetime(2026, 1, 2, 3, 4, 5, 678, tzinfo=UTC), "b00t", 12345.678)


def test_progress_is_stored_per_deployment_and_service(store: Store) -> None:
    """A later step replaces the one before, and another deployment starts without any."""
    first = store.deployments.begin("shop", 1, None, release(store))
    second = store.deployments.begin("blog", 1, None, release(store, "blog"))
    store.deployments.advance(first, "web", Progress("canary", "pause", STAMP, {"weight": 10.5, "step": 1}))
    store.deployments.advance(first, "worker", Progress("rolling", "replace", STAMP))
    latest = Progress("canary", "increase", replace(STAMP, seconds=12400.0), {"weight": 25})
    store.deployments.advance(first, "web", latest)
    assert store.deployments.progress(first) == {"web": latest, "worker": Progress("rolling", "replace", STAMP)}
    assert store.deployments.progress(second) == {}


ADVANCING = """
import os, sys
from datetime import UTC, datetime
from pathlib import Path
from pipeline.base.clock import Stamp
from pipeline.store.records import Progress
from pipeline.store.store import Store
store = Store(Path(sys.argv[1]))
deployment = store.deployments.open("shop")
store.deployments.advance(deployment, "web", Progress("rolling", "replace", Stamp.from_wall(datetime.now(UTC))))
os.kill(os.getpid(), 9)
"""


def test_progress_survives_sigkill(store: Store, tmp_path: Path) -> None:
    """Progress is on disk when `advance` returns."""
    deployment = store.deployments.begin("shop", 1, None, release(store))
    done = subprocess.run([sys.executable, "-c", ADVANCING, str(tmp_path / "penstock.db")], check=False)
    assert done.returncode == -signal.SIGKILL
    assert store.deployments.progress(deployment)["web"].step == "replace"


def test_progress_of_an_unknown_deployment_is_refused(store: Store) -> None:
    """The database rejects progress of an unknown deployment."""
    deployment = store.deployments.begin("shop", 1, None, release(store))
    with pytest.raises(StoreFault, match="FOREIGN KEY"):
        store.deployments.advance(replace(deployment, id=99), "web", Progress("rolling", "replace", STAMP))
