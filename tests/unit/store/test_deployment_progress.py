"""The progress of open deployments."""

from __future__ import annotations

from datetime import timedelta

import pytest

from pipeline.base.clock import SYSTEM
from pipeline.store.deployment_progress import ServiceProgress, ShiftPhase
from pipeline.store.records import DeploymentState
from pipeline.store.store import Store


def progress(service: str = "web", **changes: object) -> ServiceProgress:
    shown = {"phase": ShiftPhase.SHIFT, "steps": 2, "share": 10.0, "bake_time": timedelta(minutes=10)} | changes
    return ServiceProgress(service, "canary", since=SYSTEM.now(), **shown)  # type: ignore[arg-type]


def test_it_is_read_as_it_was_stored(store: Store) -> None:
    """The progress of each service is kept, in the order in which they began, and is replaced by later progress."""
    row = store.deployments.begin("shop", 1, 1, 2, "canary")
    first = progress(baked=timedelta(seconds=2.5))
    later = progress(step=1, share=100.0)
    store.progress.set(row, first)
    store.progress.set(row, progress("api"))
    assert store.progress.of(row, "web") == first
    store.progress.set(row, later)
    assert [found.service for found in store.progress.all(row)] == ["web", "api"]
    assert store.progress.of(row, "web") == later
    assert store.progress.of(row, "worker") is None


def test_only_a_deployment_with_progress_can_continue(store: Store) -> None:
    """One that is being undone cannot, and one that has ended has no progress."""
    row = store.deployments.begin("shop", 1, 1, 2)
    assert not store.progress.can_continue(row)
    store.progress.set(row, progress())
    assert store.progress.can_continue(row)
    store.progress.undo(row)
    assert not store.progress.can_continue(row)
    store.deployments.finish(row, DeploymentState.INTERRUPTED)
    assert store.progress.all(row) == []


def test_the_strategy_belongs_to_the_run(store: Store) -> None:
    """A run that continues a deployment has its strategy too. `pipeline down` has none."""
    row = store.deployments.begin("shop", 3, 1, 2, "canary")
    adopted = store.deployments.adopt(row, 4)
    assert adopted.run == 4
    assert store.deployments.open("shop") == adopted
    store.deployments.finish(adopted, DeploymentState.SUCCEEDED)
    store.deployments.begin("shop", 5, 2, None)
    store.deployments.begin("blog", 4, None, 1, "rolling")
    assert store.deployments.strategies("shop", [3, 4, 5]) == {3: "canary", 4: "canary"}


@pytest.mark.parametrize(
    ("found", "text", "waits_for"),
    [
        (
            progress(baked=timedelta(seconds=151.9)),
            "is in step 1 of 2 of canary, with 10 % of the requests",
            "its bake time, 0:02:31 of 0:10:00",
        ),
        (
            progress(bake_time=timedelta(0)),
            "is in step 1 of 2 of canary, with 10 % of the requests",
            "healthy containers of the new release",
        ),
        (
            progress(phase=ShiftPhase.INSTALL, bake_time=timedelta(0)),
            "starts beside the previous release and gets no requests yet",
            "healthy containers of the new release",
        ),
        (progress(phase=ShiftPhase.BAKE), "has replaced all containers", "its bake time, 0:00:00 of 0:10:00"),
        (progress(phase=ShiftPhase.DONE), "is done", ""),
    ],
)
def test_progress_in_words(found: ServiceProgress, text: str, waits_for: str) -> None:
    """It says where the service is and what its deployment waits for."""
    assert (found.describe(), found.waits_for) == (text, waits_for)
