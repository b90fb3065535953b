"""The wanted number of replicas of each service."""

from __future__ import annotations

from pipeline.store.records import DeploymentState
from pipeline.store.store import Store
from tests.support.started_runs import begin_run


def activate(store: Store, spec: str, pipeline: str = "shop", **wanted: int) -> None:
    run = begin_run(store, pipeline).number
    release = store.releases.create(pipeline, run, sha="a" * 40, subject="", image_id="1", image_tag="1", spec=spec)
    active = store.releases.active(pipeline)
    deployment = store.deployments.begin(pipeline, run, active.number if active else None, release.number)
    store.deployments.finish(deployment, DeploymentState.SUCCEEDED, wanted=wanted)


def test_the_number_of_the_active_release_counts_at_first(store: Store) -> None:
    """Before a deployment sets it, the service `web` has the number of the active release."""
    assert store.services.wanted("shop", "web") is None
    activate(store, '{"deploy": {"replicas": 3}}')
    assert store.services.wanted("shop", "web") == 3
    assert store.services.wanted("shop", "worker") is None
    assert store.services.wanted("blog", "web") is None


def test_a_number_that_is_set_outlives_releases(store: Store) -> None:
    """A number that is set counts more than that of the active release."""
    activate(store, '{"deploy": {"replicas": 3}}', web=5)
    assert store.services.wanted("shop", "web") == 5
    activate(store, '{"deploy": {"replicas": 2}}')
    assert store.services.wanted("shop", "web") == 5
    activate(store, '{"deploy": {"replicas": 2}}', web=0)
    assert store.services.wanted("shop", "web") == 0


def test_each_service_of_each_pipeline_has_its_number(store: Store) -> None:
    """Setting the number of one service changes no other."""
    activate(store, "{}", web=1, worker=2)
    activate(store, "{}", "blog", web=3)
    activate(store, "{}", worker=4)
    found = [store.services.wanted(*key) for key in (("shop", "web"), ("shop", "worker"), ("blog", "web"))]
    assert found == [1, 4, 3]


def test_a_release_without_numbers_gives_none(store: Store) -> None:
    """Releases after version 1 hold no counts."""
    activate(store, '{"version": 2, "services": {"web": {}}}')
    assert store.services.wanted("shop", "web") is None


def test_a_scaled_number_lasts_until_the_declared_one_changes(store: Store) -> None:
    """It counts for the declared number that it was set against, and not again after that has changed."""
    activate(store, "{}", web=3)
    scale(store, declared=3, wanted=5)
    assert store.services.scaled("shop", "web", 3) == 5
    assert store.services.scaled("shop", "web", 4) is None
    assert store.services.scaled("blog", "web", 3) is None
    scale(store, declared=4, wanted=4)
    assert store.services.scaled("shop", "web", 3) is None
    scale(store, declared=4, wanted=6)
    scale(store, declared=None)
    assert store.services.scaled("shop", "web", 4) is None, "nothing is deployed any more"


def test_a_deployment_to_nothing_forgets_scaled_numbers(store: Store) -> None:
    """Also those of services that the active release does not have."""
    activate(store, "{}", web=3)
    scale(store, declared=3, wanted=5)
    deployment = store.deployments.begin("shop", 1, 1, None)
    store.deployments.finish(deployment, DeploymentState.SUCCEEDED)
    assert store.services.scaled("shop", "web", 3) is None


def scale(store: Store, declared: int | None, **wanted: int) -> None:
    counts = {"web": wanted["wanted"]} if wanted else {}
    deployment = store.deployments.begin("shop", 1, 1, 1)
    store.deployments.finish(deployment, DeploymentState.SUCCEEDED, wanted=counts, declared={"web": declared})
