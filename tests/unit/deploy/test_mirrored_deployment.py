"""Deployments whose new release gets copies of requests before its first share of the traffic."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import timedelta

import pytest

from pipeline.alarms.verdict import Verdict
from pipeline.api import StageContext
from pipeline.base.errors import RolledBack
from pipeline.runner.deployment_answer import promote
from pipeline.store.deployment_progress import ShiftPhase
from pipeline.store.store import Store
from stages.deploy.judge import Judgement
from tests.unit.deploy.deployments import Killed
from tests.unit.deploy.shifts import Shop

CANARY = "{type: canary, percent: 10, bake_time: 30s, mirror: {percent: 20, duration: 1m}}"
BLUE_GREEN = "{type: blue_green, bake_time: 0s, mirror: {duration: 1m}}"
# A time that no test waits for: how long a deployment takes besides depends on the speed of the machine.
LONG = "{type: all_at_once, mirror: {duration: 20h}}"
Shops = Callable[..., Shop]


@pytest.fixture
def store(context: StageContext) -> Store:
    """The store that all processes share."""
    return context.store


@pytest.fixture
def shops(context: StageContext, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shops]:
    """Makes the shop, whose release `a` is active."""
    with ExitStack() as running:

        def make(strategy: str = CANARY, settings: str = "") -> Shop:
            shop = Shop(context, monkeypatch)
            shop.strategy, shop.settings = strategy, settings
            running.enter_context(shop.running())
            shop.deploy("a")
            assert shop.copy_looks == 0, "the first release has no other one to be compared with"
            shop.events.clear()
            shop.hooked.clear()
            return shop

        yield make


def test_copies_come_before_the_first_step(shops: Shops) -> None:
    """They last their time, once a second, while no request of a client reaches the new release."""
    shop = shops()
    shop.deploy("b")
    assert 60 <= shop.copy_looks <= 66
    assert shop.mirrorings == 0
    assert shop.kinds("shift.")[:5] == [
        "shift.installing",
        "shift.installed",
        "shift.mirroring",
        "shift.mirrored",
        "shift.step",
    ]
    texts = {event.kind: event.message for event in shop.events}
    assert texts["shift.mirroring"] == (
        "web of release 2 gets copies of 20 % of the GET and HEAD requests for at least 1m"
    )
    assert texts["shift.mirrored"] == "web of release 2 gets no more copies: none has failed"
    shop.assert_at_home("b")


@pytest.mark.parametrize("strategy", [CANARY, BLUE_GREEN])
def test_an_alarm_on_copies_rolls_back_before_the_first_request(strategy: str, shops: Shops) -> None:
    """The new release has had no share of the requests, and its containers go."""
    shop = shops(strategy)
    shop.copy_alarms["b"] = "copies of requests: http_5xx_ratio 100 %"
    with pytest.raises(RolledBack, match=r"^copies of requests: http_5xx_ratio 100 %; release 1 is active again$"):
        shop.deploy("b")
    assert shop.shown_shares() == []
    assert shop.looks == 0
    assert shop.mirrorings == 0
    shop.assert_at_home("a")


def test_hooks_stand_around_the_copies(shops: Shops) -> None:
    """A pause before the traffic can wait for a look at what the copies have shown."""
    shop = shops("{type: canary, bake_time: 0s, test_traffic: {port: 9000}, mirror: {duration: 1m}}")
    before: list[str] = []
    shop.at_look[1] = lambda: before.extend(event for event, _ in shop.hooked)
    shop.deploy("b")
    assert before[:3] == ["BeforeInstall", "AfterInstall", "AfterAllowTestTraffic"]
    assert [event for event, _ in shop.hooked] == [
        "BeforeInstall",
        "AfterInstall",
        "AfterAllowTestTraffic",
        "BeforeAllowTraffic",
        "AfterAllowTraffic",
    ]


def test_a_hook_that_fails_after_the_copies(shops: Shops) -> None:
    """Nothing is copied during a hook, which may take hours."""
    shop = shops()
    shop.failing_hook = "BeforeAllowTraffic"
    with pytest.raises(RolledBack, match="BeforeAllowTraffic failed"):
        shop.deploy("b")
    assert shop.shown_shares() == []
    assert shop.kinds("shift.mirrored") == ["shift.mirrored"]
    assert shop.mirrorings == 0


def test_a_kill_among_the_copies(shops: Shops) -> None:
    """The next process goes on with them, for the time that is left. The time without a process does not count."""
    shop = shops()
    shop.die_after_looks = 30
    with pytest.raises(Killed):
        shop.deploy("b")
    (found,) = shop.progress()
    assert (found.phase, found.share, found.bake_time) == (ShiftPhase.MIRROR, 0.0, timedelta(minutes=1))
    baked = found.baked.total_seconds()
    assert 24 <= baked <= 30
    assert found.describe() == "gets copies of requests and no request of a client yet"
    assert found.waits_for == f"the end of the copies, 0:00:{int(baked)} of 0:01:00"
    shop.recover(holds=True)
    shop.clock.advance(timedelta(hours=1))
    begun, shop.copy_looks, shop.die_after_looks = shop.clock.monotonic(), 0, None
    shop.deploy("b")
    assert 60 - baked <= shop.copy_looks <= 66 - baked
    assert shop.clock.monotonic() - begun < 1000
    assert shop.kinds("shift.mirroring") == ["shift.mirroring"]
    resumed = [event.message for event in shop.events if event.kind == "shift.resumed"]
    assert resumed == [
        "web of release 2 continues where a process has died: it gets copies of requests and no request of a client yet"
    ]
    shop.assert_at_home("b")


@pytest.mark.parametrize("kind", ["shift.mirroring", "shift.mirrored"])
def test_a_kill_around_the_copies(kind: str, shops: Shops) -> None:
    """It is continued by the same release, and undone by another one."""
    shop = shops()
    shop.kill("b", kind)
    assert [found.phase for found in shop.progress()] == [ShiftPhase.MIRROR]
    shop.recover(holds=True)
    assert shop.shares() == {"web": 0.0}
    shop.deploy("b")
    shop.assert_at_home("b")
    shop.kill("c", kind)
    shop.recover(holds=True)
    shop.deploy("d")
    shop.assert_at_home("d")


def test_promote_ends_the_copies(shops: Shops, store: Store) -> None:
    """The deployment continues with its first step."""
    shop = shops(LONG)
    answers: list[str] = []
    shop.at_look[3] = lambda: answers.append(promote(store, "shop", "ann"))
    before = shop.clock.monotonic()
    shop.deploy("b")
    assert answers == ["web: the mirroring ends, and the deployment continues"]
    assert shop.clock.monotonic() - before < 10 * 3600
    continued = [event.message for event in shop.events if event.kind == "deployment.continued"]
    assert continued == ["the mirroring of web was ended by ann"]


def test_a_user_who_ends_the_copies_has_not_ended_the_bake_time(shops: Shops, store: Store) -> None:
    """`insufficient_data: rollback` still counts for the requests of clients."""
    shop = shops("{type: canary, percent: 10, bake_time: 30s, mirror: {duration: 20h}}")
    shop.judgement = Judgement((Verdict("INSUFFICIENT_DATA", "3 requests"),), insufficient_data="rollback")
    shop.at_look[3] = lambda: promote(store, "shop", "ann") if shop.copy_looks == 3 and not shop.looks else None
    with pytest.raises(RolledBack, match="3 requests; release 1"):
        shop.deploy("b")
    assert shop.shown_shares() == [10.0]


def test_a_fault_of_docker_among_the_copies(shops: Shops) -> None:
    """They outlast a short one, as a bake time does."""
    shop = shops()
    shop.at_look[5] = lambda: shop.engine_away(20)
    shop.deploy("b")
    shop.assert_at_home("b")
