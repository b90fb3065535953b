"""Deployments, and the releases that they activate."""

from __future__ import annotations

import pytest

from pipeline.base.errors import StoreFault
from pipeline.store.records import DeploymentState, ReleaseState
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


def test_a_success_sets_the_number_of_replicas(store: Store) -> None:
    """Each success stores it: of a new release, of the active one, and of an earlier one."""
    first, second = release(store), release(store)
    for before, after, count in ((None, first, 2), (first, second, 3), (second, second, 5), (second, first, 4)):
        deployment = store.deployments.begin("shop", 1, before, after)
        store.deployments.finish(deployment, DeploymentState.SUCCEEDED, wanted={"web": count})
        assert store.services.wanted("shop", "web") == count
    assert store.services.wanted("shop", "worker") is None
    assert store.services.wanted("blog", "web") is None


@pytest.mark.parametrize("state", [DeploymentState.ROLLED_BACK, DeploymentState.FAILED, DeploymentState.INTERRUPTED])
def test_an_unsuccessful_deployment_keeps_the_number_of_replicas(state: DeploymentState, store: Store) -> None:
    """The number of the last success counts."""
    first, second = release(store), release(store)
    deployment = store.deployments.begin("shop", 1, None, first)
    store.deployments.finish(deployment, DeploymentState.SUCCEEDED, wanted={"web": 2})
    deployment = store.deployments.begin("shop", 1, first, second)
    store.deployments.finish(deployment, state, wanted={"web": 9})
    assert store.services.wanted("shop", "web") == 2


def test_release_and_replicas_are_stored_together_or_not_at_all(store: Store) -> None:
    """If the number is refused, the release does not become active and the deployment stays open."""
    deployment = store.deployments.begin("shop", 1, None, release(store))
    with pytest.raises(StoreFault, match="CHECK"):
        store.deployments.finish(deployment, DeploymentState.SUCCEEDED, wanted={"web": -1})
    assert store.deployments.open("shop") == deployment
    assert store.releases.active("shop") is None
    assert store.services.wanted("shop", "web") is None
