"""Scalable targets: policies, decisions, and the number that a decision may change."""

from __future__ import annotations

from pipeline.store.records import DeploymentState
from pipeline.store.store import Store
from tests.support.started_runs import begin_run


def deploy(store: Store, scaling: dict[str, str] | None = None, **wanted: int) -> None:
    run, active = begin_run(store, "shop").number, store.releases.active("shop")
    release = store.releases.create("shop", run, sha="a" * 40, subject="", image_id="1", image_tag="1", spec="{}")
    row = store.deployments.begin("shop", run, active.number if active else None, release.number)
    store.deployments.finish(row, DeploymentState.SUCCEEDED, wanted=wanted, scaling=scaling)


def test_a_deployment_replaces_the_policies(store: Store) -> None:
    """What is remembered of a service stays. A rollback, which has none, keeps them."""
    deploy(store, {"web": "{1}", "worker": "{2}"}, web=2, worker=3)
    store.scaling.record(store.scaling.targets("shop")[0], "{state}", "{decision}")
    store.scaling.suspend("shop", "web")
    deploy(store, {"web": "{3}"}, web=2)
    (web,) = store.scaling.targets("shop")
    assert (web.service, web.policy, web.state, web.decision) == ("web", "{3}", "{state}", "{decision}")
    assert web.suspended_at is not None
    deploy(store, web=2)
    assert store.scaling.policies("shop") == {"web": "{3}"}
    assert store.scaling.policies("blog") == {}


def test_down_forgets_the_policies(store: Store) -> None:
    """The next deployment begins with the number of the file."""
    deploy(store, {"web": "{1}"}, web=2)
    run = begin_run(store, "shop").number
    row = store.deployments.begin("shop", run, 1, None)
    store.deployments.finish(row, DeploymentState.SUCCEEDED)
    assert store.scaling.targets("shop") == ()


def test_a_deployment_that_fails_changes_no_policy(store: Store) -> None:
    """As it changes no number."""
    deploy(store, {"web": "{1}"}, web=2)
    run = begin_run(store, "shop").number
    row = store.deployments.begin("shop", run, 1, 1)
    store.deployments.finish(row, DeploymentState.ROLLED_BACK, wanted={"web": 9}, scaling={"web": "{2}"})
    assert store.scaling.policies("shop") == {"web": "{1}"}
    assert store.services.wanted("shop", "web") == 2


def test_a_decision_sets_the_number(store: Store) -> None:
    """With what it remembers, in one transaction."""
    deploy(store, {"web": "{1}", "worker": "{1}"}, web=2, worker=3)
    target = store.scaling.targets("shop")[0]
    assert store.scaling.set_count(target, 2, 5, "{state}", "{decision}")
    assert store.services.wanted("shop", "web") == 5
    assert store.services.wanted("shop", "worker") == 3
    web, worker = store.scaling.targets("shop")
    assert (web.state, web.decision, worker.state, worker.decision) == ("{state}", "{decision}", "{}", "")


def test_a_decision_that_something_overtook_changes_nothing(store: Store) -> None:
    """A deployment, another number, another policy, or a suspension."""
    deploy(store, {"web": "{1}"}, web=2)
    (target,) = store.scaling.targets("shop")
    run = begin_run(store, "shop").number
    row = store.deployments.begin("shop", run, 1, 1)
    assert not store.scaling.set_count(target, 2, 5, "{}", "")
    store.deployments.finish(row, DeploymentState.SUCCEEDED, wanted={"web": 3})
    assert not store.scaling.set_count(target, 2, 5, "{}", "")
    store.scaling.suspend("shop", "web")
    assert not store.scaling.set_count(target, 3, 5, "{}", "")
    store.scaling.resume("shop", "web")
    deploy(store, {"web": "{2}"}, web=3)
    assert not store.scaling.set_count(target, 3, 5, "{}", "")
    assert store.services.wanted("shop", "web") == 3
    assert store.scaling.set_count(store.scaling.targets("shop")[0], 3, 5, "{}", "")


def test_only_a_service_with_a_policy_is_suspended(store: Store) -> None:
    """Others are not known."""
    deploy(store, {"web": "{1}"}, web=2, worker=1)
    assert not store.scaling.suspend("shop", "worker")
    assert not store.scaling.resume("shop", "web")
