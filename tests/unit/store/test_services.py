"""The wanted number of replicas of each service."""

from __future__ import annotations

import pytest

from pipeline.base.errors import StoreFault
from pipeline.store.records import DeploymentState
from pipeline.store.store import Store
from tests.support.started_runs import begin_run


def activate(store: Store, spec: str) -> None:
    run = begin_run(store, "shop").number
    release = store.releases.create("shop", run, sha="a" * 40, subject="", image_id="1", image_tag="1", spec=spec)
    active = store.releases.active("shop")
    deployment = store.deployments.begin("shop", run, active.number if active else None, release.number)
    store.deployments.finish(deployment, DeploymentState.SUCCEEDED)


def test_the_number_of_the_active_release_counts_at_first(store: Store) -> None:
    """Before the first `set_wanted`, the service `web` has the number of the active release."""
    assert store.services.wanted("shop", "web") is None
    activate(store, '{"deploy": {"replicas": 3}}')
    assert store.services.wanted("shop", "web") == 3
    assert store.services.wanted("shop", "worker") is None
    assert store.services.wanted("blog", "web") is None


def test_a_number_that_is_set_outlives_releases(store: Store) -> None:
    """A number that is set outlives later releases."""
    activate(store, '{"deploy": {"replicas": 3}}')
    store.services.set_wanted("shop", "web", 5)
    activate(store, '{"deploy": {"replicas": 2}}')
    assert store.services.wanted("shop", "web") == 5
    store.services.set_wanted("shop", "web", 0)
    assert store.services.wanted("shop", "web") == 0


def test_each_service_of_each_pipeline_has_its_number(store: Store) -> None:
    """Setting the number of one service changes no other."""
    counts = {("shop", "web"): 1, ("shop", "worker"): 2, ("blog", "web"): 3}
    for (pipeline, name), count in counts.items():
        store.services.set_wanted(pipeline, name, count)
    assert {key: store.services.wanted(*key) for key in counts} == counts


def test_a_release_without_numbers_gives_none(store: Store) -> None:
    """Releases after version 1 hold no counts."""
    activate(store, '{"version": 2, "services": {"web": {}}}')
    assert store.services.wanted("shop", "web") is None


def test_a_negative_number_is_refused(store: Store) -> None:
    """The database rejects a negative number of replicas."""
    with pytest.raises(StoreFault, match="CHECK"):
        store.services.set_wanted("shop", "web", -1)
    assert store.services.wanted("shop", "web") is None
