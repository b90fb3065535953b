"""What deployments wait for, and the answers to it."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from pipeline.base.clock import Stamp
from pipeline.store.deployment_answers import DeploymentWait
from pipeline.store.records import Deployment, DeploymentState
from pipeline.store.store import Store
from pipeline.testing.fakes.clock import FakeClock


@pytest.fixture
def deployment(store: Store) -> Deployment:
    """A deployment in progress."""
    return store.deployments.begin("shop", 1, None, 1)


def begin(
    store: Store, deployment: Deployment, name: str = "AfterInstall[0]", since: Stamp | None = None
) -> DeploymentWait:
    return store.deployment_answers.begin(
        deployment.id, "web", name, "the pause in AfterInstall", since or FakeClock().now(), timedelta(hours=1)
    )


def test_a_wait_is_listed_until_it_ends(store: Store, deployment: Deployment) -> None:
    """The wait of a deployment in progress is listed, with its start and its timeout, until the deployment goes on."""
    wait = begin(store, deployment)
    assert store.deployment_answers.waiting("shop") == [wait]
    assert (wait.since, wait.timeout) == (FakeClock().now(), timedelta(hours=1))
    assert store.deployment_answers.waiting("blog") == []
    store.deployment_answers.end(wait)
    assert store.deployment_answers.waiting("shop") == []


def test_the_first_promotion_counts(store: Store, deployment: Deployment) -> None:
    """A wait is promoted once, and by the first user who does so."""
    wait = begin(store, deployment)
    assert store.deployment_answers.promoted_by(wait) is None
    assert [store.deployment_answers.promote(wait, name) for name in ("ann", "bob")] == ["ann", "ann"]
    assert store.deployment_answers.promoted_by(wait) == "ann"


def test_a_wait_that_is_over_is_not_promoted(store: Store, deployment: Deployment) -> None:
    """A deployment that has continued takes no answer, and the next wait has none."""
    wait = begin(store, deployment)
    store.deployment_answers.end(wait)
    assert store.deployment_answers.promote(wait, "ann") is None
    later = begin(store, deployment, "AfterAllowTraffic[0]")
    assert store.deployment_answers.promoted_by(later) is None
    assert store.deployment_answers.waiting("shop") == [later]


def test_a_promoted_bake_time_is_remembered(store: Store, deployment: Deployment) -> None:
    """It counts for the later steps of its service. A pause before the traffic does not."""
    answers = store.deployment_answers
    answers.promote(begin(store, deployment), "ann")
    assert not answers.has_promoted_bake(deployment.id, "web")
    bake = answers.begin(deployment.id, "web", "shift[0]", "the bake time at 10 %", FakeClock().now())
    assert not answers.has_promoted_bake(deployment.id, "web")
    answers.promote(bake, "ann")
    answers.end(bake)
    assert answers.has_promoted_bake(deployment.id, "web")
    assert not answers.has_promoted_bake(deployment.id, "api")
    assert not answers.has_promoted_bake(deployment.id + 1, "web")


def test_another_process_finds_the_wait(tmp_path: Path) -> None:
    """A process that continues a deployment gets the start of the wait and the answer that was given meanwhile."""
    with Store(tmp_path / "db") as store:
        deployment = store.deployments.begin("shop", 1, None, 1)
        first = begin(store, deployment)
        store.deployment_answers.promote(first, "ann")
    clock = FakeClock()
    clock.advance(timedelta(minutes=5))
    with Store(tmp_path / "db") as store:
        again = begin(store, deployment, since=clock.now())
        assert (again.since, again.promoted_by) == (first.since, "ann")


def test_the_wait_of_a_finished_deployment_is_not_listed(store: Store, deployment: Deployment) -> None:
    """A deployment that failed while it waited waits for nothing."""
    begin(store, deployment)
    store.deployments.finish(deployment, DeploymentState.FAILED)
    assert store.deployment_answers.waiting("shop") == []


def test_the_first_abort_counts(store: Store, deployment: Deployment) -> None:
    """A deployment is aborted once. The order names the user and the reason."""
    answers = store.deployment_answers
    assert answers.aborted(deployment.id) is None
    first = answers.abort(deployment.id, "ann", "wrong prices")
    assert first is not None
    assert (first.by, first.comment) == ("ann", "wrong prices")
    assert answers.abort(deployment.id, "bob") == answers.aborted(deployment.id) == first


def test_the_order_is_found_by_its_run(store: Store, deployment: Deployment) -> None:
    """Also after the deployment has ended, and only for its last deployment."""
    answers = store.deployment_answers
    assert answers.abort_of_run("shop", 1) is None
    first = answers.abort(deployment.id, "ann")
    store.deployments.finish(deployment, DeploymentState.INTERRUPTED)
    assert answers.abort_of_run("shop", 1) == first
    assert answers.abort_of_run("shop", 2) is None
    assert answers.abort_of_run("blog", 1) is None
    store.deployments.begin("shop", 1, None, 1)
    assert answers.abort_of_run("shop", 1) is None


def test_a_finished_deployment_is_not_aborted(store: Store, deployment: Deployment) -> None:
    """An order that comes too late is refused and not stored."""
    store.deployments.finish(deployment, DeploymentState.SUCCEEDED)
    assert store.deployment_answers.abort(deployment.id, "ann") is None
    assert store.deployment_answers.aborted(deployment.id) is None
