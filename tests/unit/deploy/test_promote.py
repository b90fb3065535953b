"""Promote and abort of deployments that shift traffic, and of bake times."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import timedelta

import pytest

from pipeline.alarms.verdict import Verdict
from pipeline.api import StageContext
from pipeline.base.errors import ConfigError, RolledBack
from pipeline.runner.deployment_answer import abort, promote
from pipeline.store.store import Store
from stages.deploy import open_rollout
from stages.deploy.judge import Judgement
from stages.deploy.release_rollout import ReleaseRollout
from tests.unit.deploy.deployments import Killed
from tests.unit.deploy.shifts import Shop

# Bake times that no test waits for: how long a deployment takes besides depends on the speed of the machine.
CANARY = "{type: canary, percent: 10, bake_time: 20h}"
LINEAR = "{type: linear, step_percent: 50, step_bake_time: 20h, bake_time: 20h}"
BLUE_GREEN = "{type: blue_green, bake_time: 20h}"
ROLLING = "{type: rolling, bake_time: 20h}"
LONG = 10 * 3600.0
Shops = Callable[[str], Shop]


@pytest.fixture
def store(context: StageContext) -> Store:
    """The store that all processes share."""
    return context.store


@pytest.fixture
def shops(context: StageContext, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shops]:
    """Make a pipeline with a strategy, whose release `a` is active."""
    with ExitStack() as stack:

        def make(strategy: str) -> Shop:
            shop = stack.enter_context(Shop(context, monkeypatch).running())
            shop.strategy = "rolling"
            shop.deploy("a")
            shop.strategy = strategy
            shop.events.clear()
            return shop

        yield make


def messages(shop: Shop, kind: str) -> list[str]:
    """Return the messages of a kind of event."""
    return [event.message for event in shop.events if event.kind == kind]


def took(shop: Shop, commit: str) -> float:
    """Deploy a commit, and return the seconds that it took."""
    before = shop.clock.monotonic()
    shop.deploy(commit)
    return shop.clock.monotonic() - before


def when_waiting(shop: Shop, store: Store, *actions: Callable[[], object], seconds: float = 5) -> None:
    """Do one thing after the other, each some seconds after the begin of a wait that was not answered yet."""
    left = list(actions)
    answered: set[str] = set()

    def check() -> None:
        waiting = [wait for wait in store.deployment_answers.waiting("shop") if wait.name not in answered]
        if waiting and shop.clock.since(waiting[0].since) >= timedelta(seconds=seconds):
            answered.add(waiting[0].name)
            left.pop(0)()
        if left:
            shop.clock.call_at(timedelta(seconds=1), check)

    shop.clock.call_at(timedelta(seconds=1), check)


def test_promote_ends_the_present_bake_time(shops: Shops, store: Store) -> None:
    """The next step follows at once, and waits for its own bake time."""
    shop = shops("{type: linear, step_percent: 50, step_bake_time: 20h, bake_time: 60s}")
    when_waiting(shop, store, lambda: promote(store, "shop", "ann"))
    assert 60 <= took(shop, "b") <= LONG
    assert shop.shown_shares() == [50.0, 100.0]
    assert messages(shop, "deployment.continued") == ["the bake time at 50 % of web was ended by ann"]
    shop.assert_at_home("b")


def test_each_bake_time_is_promoted(shops: Shops, store: Store) -> None:
    """One answer is for one step."""
    shop = shops(LINEAR)
    when_waiting(shop, store, *[lambda: promote(store, "shop", "ann")] * 2)
    assert took(shop, "b") <= LONG
    assert [text.partition(" % ")[0] for text in messages(shop, "deployment.continued")] == [
        "the bake time at 50",
        "the bake time at 100",
    ]


def test_nothing_waits_before_and_after_a_bake_time(shops: Shops, store: Store) -> None:
    """A deployment that is done is not promoted, and neither is one whose step is over."""
    shop = shops("{type: canary, percent: 10, bake_time: 30s}")
    shop.deploy("b")
    assert store.deployment_answers.waiting("shop") == []
    with pytest.raises(ConfigError, match="no deployment in progress"):
        promote(store, "shop", "ann")


def test_a_promotion_without_a_process_is_found(shops: Shops, store: Store) -> None:
    """The process that continues the deployment does not wait for what is left of the bake time."""
    shop = shops(CANARY)
    shop.die_after_looks = 5
    with pytest.raises(Killed):
        shop.deploy("b")
    assert promote(store, "shop", "ann") == "web: the bake time at 10 % ends, and the deployment continues"
    shop.recover(holds=True)
    assert took(shop, "b") <= LONG
    assert messages(shop, "deployment.continued") == ["the bake time at 10 % of web was ended by ann"]
    shop.assert_at_home("b")


@pytest.mark.parametrize("strategy", [CANARY, BLUE_GREEN, ROLLING])
def test_a_promoted_release_needs_no_more_requests(strategy: str, shops: Shops, store: Store) -> None:
    """With `insufficient_data: rollback`, the user has decided in place of the alarms. The last step may be another."""
    shop = shops(strategy)
    shop.judgement = Judgement((Verdict("INSUFFICIENT_DATA", "few requests"),), insufficient_data="rollback")
    when_waiting(shop, store, lambda: promote(store, "shop", "ann"))
    assert took(shop, "b") <= LONG
    shop.assert_at_home("b")


def test_the_bake_time_of_a_rolling_deployment_is_promoted(shops: Shops, store: Store) -> None:
    """It has one step, so it has no share."""
    shop = shops(ROLLING)
    when_waiting(shop, store, lambda: promote(store, "shop", "ann"))
    assert took(shop, "b") <= LONG
    assert messages(shop, "deployment.continued") == ["the bake time of web was ended by ann"]
    shop.assert_at_home("b")


def test_the_circuit_breaker_counts_in_a_bake_time(shops: Shops, store: Store) -> None:
    """Containers that exit while the release bakes are replaced, until there are too many."""
    shop = shops(ROLLING)
    shop.settings = ', restart: "no", circuit_breaker: {threshold: 2}'

    def crash() -> None:
        running = [name for name in shop.runtime.running if shop.runtime.specs[name].image == "sha256:b"]
        if len(running) == shop.replicas:
            shop.runtime.exit(running[0], 3)
        if running:
            shop.clock.call_at(timedelta(seconds=1), crash)

    when_waiting(shop, store, crash)
    with pytest.raises(RolledBack, match="the circuit breaker ended it: 2 of 2 containers failed"):
        shop.deploy("b")
    assert len(messages(shop, "target.failed")) == 2
    shop.assert_at_home("a")


@pytest.mark.parametrize("strategy", [CANARY, BLUE_GREEN, ROLLING])
def test_an_abort_in_a_bake_time_rolls_back(strategy: str, shops: Shops, store: Store) -> None:
    """The requests go back before any container is touched."""
    shop = shops(strategy)
    when_waiting(shop, store, lambda: abort(store, "shop", "ann", "wrong prices"))
    with pytest.raises(RolledBack) as error:
        shop.deploy("b")
    assert error.value.message == "aborted by ann: wrong prices; release 1 is active again"
    shop.assert_at_home("a")
    kinds = [event.kind for event in shop.events]
    assert shop.events[kinds.index("deployment.failed")].fields == {"by": "ann"}
    if strategy != ROLLING:
        assert kinds.index("shift.returned") < kinds.index("rollback.started")


def test_an_abort_without_a_process_is_found(shops: Shops, store: Store) -> None:
    """A deployment that a run would continue is undone instead, and its run is closed."""
    shop = shops(CANARY)
    shop.is_queued = True
    shop.kill("b", "shift.step")
    (run,) = store.runs.running("shop")
    abort(store, "shop", "ann")
    shop.recover()
    shop.assert_at_home("a")
    found = store.runs.get("shop", run.number)
    assert found is not None
    assert (str(found.state), found.reason) == ("rolled_back", "aborted by ann")


def test_a_rollback_in_progress_waits_for_nothing(shops: Shops, store: Store) -> None:
    """It cannot be promoted, although its deployment is not over."""
    shop = shops(CANARY)
    when_waiting(shop, store, lambda: abort(store, "shop", "ann"))
    seen: list[object] = []
    usual = shop.balancer.deregister

    def deregister(*arguments: str) -> None:
        seen.append(store.deployment_answers.waiting("shop"))
        usual(*arguments)

    shop.balancer.deregister = deregister  # type: ignore[method-assign]
    with pytest.raises(RolledBack):
        shop.deploy("b")
    assert seen
    assert not any(seen)


def test_a_pause_before_traffic(shops: Shops, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """No request reaches the new release until it is promoted. After a kill, the pause is found with its answer."""
    shop = shops(CANARY)
    monkeypatch.setattr(open_rollout, "ReleaseRollout", ReleaseRollout)
    shop.settings = ", hooks: {BeforeAllowTraffic: [{pause: true, timeout: 10m}]}"
    shop.kill("b", "deployment.waiting")
    assert shop.shares() == {"web": 0.0}
    (wait,) = store.deployment_answers.waiting("shop")
    assert (wait.service, wait.name) == ("web", "BeforeAllowTraffic[0]")
    promote(store, "shop", "ann")
    shop.recover(holds=True)
    when_waiting(shop, store, lambda: promote(store, "shop", "ann"))
    shop.deploy("b")
    assert messages(shop, "deployment.continued")[0] == "the pause in BeforeAllowTraffic of web was ended by ann"
    assert shop.shown_shares() == [10.0, 100.0]
    shop.assert_at_home("b")


def test_a_pause_that_is_not_ended_moves_no_traffic(
    shops: Shops, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The release is rolled back before its first request."""
    shop = shops(CANARY)
    monkeypatch.setattr(open_rollout, "ReleaseRollout", ReleaseRollout)
    shop.settings = ", hooks: {AfterInstall: [{pause: true, timeout: 1m}]}"
    with pytest.raises(RolledBack, match="the pause in AfterInstall of web was not ended within 1m"):
        shop.deploy("b")
    assert shop.shown_shares() == []
    shop.assert_at_home("a")
    assert store.deployment_answers.waiting("shop") == []
