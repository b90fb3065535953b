"""Deployments that are judged by their own `rollback_on`, with the stage as it is shipped."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace

import pytest

from pipeline.api import StageContext
from pipeline.base.errors import RolledBack
from pipeline.events import Event
from pipeline.store.deployment_progress import ShiftPhase
from stages.deploy import open_rollout
from stages.deploy.release_rollout import ReleaseRollout
from tests.unit.deploy.shifts import Shop

STRATEGIES = {
    "canary": "{type: canary, percent: 10, bake_time: 30s}",
    "blue_green": "{type: blue_green, bake_time: 30s}",
    "linear": "{type: linear, step_percent: 40, step_bake_time: 10s, bake_time: 5s}",
    "rolling": "{type: rolling, bake_time: 30s}",
}
RATIO = "{metric: http_5xx_ratio, above: 5%}"
MISSING = (
    r"^too little data at the end of the bake time, with insufficient_data: rollback: "
    r"http_5xx_ratio above 5%: 0.0% \(0 of 0 requests\), 20 more requests are needed"
)


class JudgedShop(Shop):
    """A shop whose events are stored, as those of a run are. `listeners` get them too."""

    def __init__(self, context: StageContext, monkeypatch: pytest.MonkeyPatch) -> None:
        super().__init__(context, monkeypatch)
        monkeypatch.setattr(open_rollout, "ReleaseRollout", ReleaseRollout)
        self.listeners: list[Callable[[Event], None]] = []
        self._store = context.store

    def context(self) -> StageContext:
        """Return the context of a new process, with a run of its own."""
        made = super().context()
        made.events.subscribe(lambda event: self._store.events.record(replace(event, run=made.run)))
        for listener in self.listeners:
            made.events.subscribe(listener)
        return made


Shops = Callable[..., JudgedShop]


@pytest.fixture
def shops(context: StageContext, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shops]:
    """Makes the shop with conditions, in which release 1 of commit a is active."""
    with ExitStack() as running:

        def make(strategy: str, conditions: str) -> JudgedShop:
            shop = JudgedShop(context, monkeypatch)
            shop.strategy = STRATEGIES[strategy]
            running.enter_context(shop.running())
            shop.deploy("a")
            shop.events.clear()
            shop.settings = f", rollback_on: {conditions}"
            return shop

        yield make


def alarms(shop: JudgedShop) -> list[tuple[object, object]]:
    """Return the states of the conditions in the events, with the number of the condition."""
    return [(e.fields["condition"], e.fields["state"]) for e in shop.events if e.kind == "alarm.evaluated"]


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_release_without_alarms_is_promoted(strategy: str, shops: Shops) -> None:
    """Each strategy with a bake time is judged from its first traffic on, and passes without enough data."""
    shop = shops(strategy, f"[{RATIO}, {{metric: restarts, above: 0}}]")
    shop.deploy("b")
    assert shop.kinds("alarm.started") == ["alarm.started"]
    assert set(alarms(shop)) == {(1, "INSUFFICIENT_DATA"), (2, "OK")}
    shop.assert_at_home("b")


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_missing_data_may_roll_back(strategy: str, shops: Shops) -> None:
    """With `insufficient_data: rollback`, a release without traffic is rolled back, and the error tells why."""
    shop = shops(strategy, f"{{insufficient_data: rollback, conditions: [{RATIO}]}}")
    with pytest.raises(RolledBack, match=MISSING):
        shop.deploy("b")
    shop.assert_at_home("a")


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_container_that_exits(strategy: str, shops: Shops) -> None:
    """A new container that exits while it receives traffic rolls the release back, although it is restarted."""
    shop = shops(strategy, "[{metric: restarts, above: 0}]")
    previous = shop.runtime.running

    def on_event(event: Event) -> None:
        if event.kind == "alarm.evaluated" and event.fields["state"] == "OK":
            shop.runtime.exit(min(shop.runtime.running - previous), 1)

    shop.listeners.append(on_event)
    with pytest.raises(RolledBack, match="alarm: restarts above 0: 1"):
        shop.deploy("b")
    assert (1, "ALARM") in alarms(shop)
    shop.assert_at_home("a")


def test_a_killed_process_keeps_the_start(shops: Shops) -> None:
    """A process that continues a step judges since the first traffic, and does not start again."""
    shop = shops("canary", f"[{RATIO}]")
    shop.is_queued = True
    shop.kill("b", "alarm.evaluated")
    assert [found.phase for found in shop.progress()] == [ShiftPhase.SHIFT]
    shop.recover()
    shop.deploy("b")
    assert len(shop.kinds("alarm.started")) == 1
    shop.assert_at_home("b")
