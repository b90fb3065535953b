"""Deployments that shift traffic, with kills at every step."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import timedelta

import pytest

from pipeline.alarms.verdict import Verdict
from pipeline.api import StageContext
from pipeline.base.errors import EngineFault, RolledBack, StoreFault
from pipeline.events import Event
from pipeline.store.deployment_progress import DeploymentProgress, ServiceProgress, ShiftPhase
from pipeline.store.records import Deployment
from stages.deploy.judge import Judgement
from tests.unit.deploy.deployments import Killed
from tests.unit.deploy.shifts import Shop

STRATEGIES = {
    "{type: canary, percent: 10, bake_time: 30s}": [10, 100],
    "{type: linear, step_percent: 40, step_bake_time: 10s, bake_time: 5s}": [40, 80, 100],
    "{type: blue_green, bake_time: 30s}": [100],
    "all_at_once": [100],
}
CANARY = "{type: canary, percent: 10, bake_time: 30s}"

Shops = Callable[..., Shop]


@pytest.fixture
def shops(context: StageContext, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shops]:
    """Makes the shop, with its services."""
    with ExitStack() as running:

        def make(*services: str, strategy: str = CANARY) -> Shop:
            shop = Shop(context, monkeypatch, *services)
            shop.strategy = strategy
            running.enter_context(shop.running())
            shop.deploy("a")
            shop.events.clear()
            return shop

        yield make


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_each_strategy_moves_the_traffic_and_comes_home(strategy: str, shops: Shops) -> None:
    """The shares are those of the strategy, and at the end there is one target group again."""
    shop = shops(strategy=strategy)
    shop.deploy("b")
    assert shop.shown_shares() == STRATEGIES[strategy]
    shop.assert_at_home("b")


def test_the_first_release_takes_all_requests_at_once(shops: Shops) -> None:
    """There is no previous release to compare it with, so nothing is shifted."""
    shop = shops()
    assert shop.kinds("shift.") == []
    shop.assert_at_home("a")


KILLS = {
    "shift.installing": (0, ShiftPhase.INSTALL, 0.0),
    "container.started": (1, ShiftPhase.INSTALL, 0.0),
    "target.registered": (0, ShiftPhase.INSTALL, 0.0),
    "shift.installed": (0, ShiftPhase.INSTALL, 0.0),
    "shift.step": (0, ShiftPhase.SHIFT, 10.0),
    "shift.step*2": (1, ShiftPhase.SHIFT, 100.0),
    "shift.retiring": (0, ShiftPhase.RETIRE, 100.0),
    "target.draining": (0, ShiftPhase.RETIRE, 100.0),
    "container.stopped": (1, ShiftPhase.RETIRE, 100.0),
    "container.removed": (0, ShiftPhase.RETIRE, 100.0),
    "shift.homing": (0, ShiftPhase.HOME, 100.0),
    "shift.removed": (0, ShiftPhase.HOME, 0.0),
}


@pytest.mark.parametrize("point", KILLS)
def test_a_killed_deployment_continues_in_its_step(point: str, shops: Shops) -> None:
    """The next run of the release continues, and the traffic stays as it was meanwhile."""
    shop = shops()
    count, phase, share = KILLS[point]
    shop.kill("b", point.partition("*")[0], count)
    assert [found.phase for found in shop.progress()] == [phase]
    shop.recover(holds=True)
    assert shop.shares().get("web", 0.0) == share
    shop.deploy("b")
    shop.assert_at_home("b")
    assert "deployment.resumed" in shop.kinds("deployment.")
    assert shop.kinds("deployment.").count("deployment.started") == 1
    # A step whose share was set before the kill is not set again.
    assert shop.shown_shares() == [10.0, 100.0]


@pytest.mark.parametrize("point", KILLS)
def test_a_killed_deployment_is_undone_by_another_release(point: str, shops: Shops) -> None:
    """A run of another release restores the active one first, and then moves from it."""
    shop = shops()
    shop.kill("b", point.partition("*")[0], KILLS[point][0])
    shop.recover(holds=True)
    shop.deploy("c")
    shop.assert_at_home("c")
    assert shop.kinds("recovery.") == ["recovery.started", "recovery.finished"]


@pytest.mark.parametrize("point", KILLS)
def test_a_killed_deployment_is_undone_by_recovery(point: str, shops: Shops) -> None:
    """`pipeline recover` takes everything back."""
    shop = shops()
    shop.kill("b", point.partition("*")[0], KILLS[point][0])
    shop.recover(holds=False)
    shop.assert_at_home("a")


@pytest.mark.parametrize("point", ["rollback.started", "shift.returned", "target.draining", "container.removed"])
def test_a_killed_rollback_is_completed(point: str, shops: Shops) -> None:
    """No run continues a deployment that was being rolled back."""
    shop = shops()
    shop.alarms["b"] = "http_5xx_ratio 12 %"
    shop.kill("b", point)
    shop.recover(holds=True)
    shop.assert_at_home("a")
    assert shop.progress() == []


def test_an_alarm_rolls_back(shops: Shops) -> None:
    """The requests go back before any container is touched, and the run's error is the text of the alarm."""
    shop = shops()
    shop.alarms["b"] = "http_5xx_ratio 12 %"
    with pytest.raises(RolledBack, match=r"^http_5xx_ratio 12 %; release 1 is active again$"):
        shop.deploy("b")
    shop.assert_at_home("a")
    assert shop.shown_shares() == [10.0]
    kinds = [event.kind for event in shop.events]
    assert kinds.index("shift.returned") < kinds.index("rollback.started") < kinds.index("target.draining")


def test_too_few_requests_may_roll_back(shops: Shops) -> None:
    """At the end of the last bake time the judge may want more requests. The share is not raised then."""
    shop = shops()
    shop.judgement = Judgement((Verdict("INSUFFICIENT_DATA", "3 requests"),), insufficient_data="rollback")
    with pytest.raises(RolledBack, match="3 requests; release 1"):
        shop.deploy("b")
    assert shop.shown_shares() == [10.0]
    shop.assert_at_home("a")


def test_the_judge_looks_once_a_second(shops: Shops) -> None:
    """It looks while requests reach the new release, and not before."""
    shop = shops()
    shop.deploy("b")
    assert 30 <= shop.looks <= 35


def test_a_bake_time_lasts_over_kills(shops: Shops) -> None:
    """The time until the kill counts, but for the last seconds, and the time without a process does not."""
    shop = shops()
    shop.die_after_looks = 20
    with pytest.raises(Killed):
        shop.deploy("b")
    baked = shop.progress()[0].baked.total_seconds()
    assert 14 <= baked <= 20
    shop.clock.advance(timedelta(hours=1))
    begun, shop.looks = shop.clock.monotonic(), 0
    shop.deploy("b")
    assert 30 - baked <= shop.clock.monotonic() - begun <= 40
    shop.assert_at_home("b")


@pytest.mark.parametrize("strategy", [CANARY, "{type: rolling, bake_time: 30s}"])
def test_a_short_fault_of_the_engine_ends_no_bake(strategy: str, shops: Shops) -> None:
    """Docker is away for a moment while a release bakes. Nothing has to be done, so the deployment waits."""
    shop = shops(strategy=strategy)
    shop.settings = ", deploy_timeout: 20s"
    shop.at_look[shop.looks + 5] = lambda: shop.engine_away(15)
    shop.deploy("b")
    shop.assert_at_home("b")
    warnings = [event.message for event in shop.events if event.kind == "deployment.warning"]
    assert [text for text in warnings if "cannot be watched" in text] == [
        "web of release 2 cannot be watched, trying again for 20s: the engine is away"
    ]


@pytest.mark.parametrize("strategy", [CANARY, "{type: rolling, bake_time: 30s}"])
def test_a_long_fault_of_the_engine_ends_the_deployment(strategy: str, shops: Shops) -> None:
    """After deploy_timeout it is rolled back, which the next command completes if the fault lasts."""
    shop = shops(strategy=strategy)
    shop.settings = ", deploy_timeout: 20s"
    shop.at_look[shop.looks + 5] = lambda: shop.engine_away(40)
    with pytest.raises(EngineFault, match="the engine is away"):
        shop.deploy("b")
    shop.clock.advance(timedelta(minutes=1))
    shop.recover(holds=True)
    shop.assert_at_home("a")


def test_a_warning_that_cannot_be_stored_ends_no_bake(shops: Shops, monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk is full for a moment, in which Docker is away."""
    shop = shops()
    shop.at_look[5] = lambda: shop.engine_away(10)

    def full(event: Event) -> None:
        if event.kind == "deployment.warning":
            raise StoreFault("the disk is full")

    monkeypatch.setattr(shop, "die", full)
    shop.deploy("b")
    shop.assert_at_home("b")


def test_a_lasting_fault_of_the_store_ends_the_deployment(shops: Shops, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is one fault that lasts, with one warning, although the looks between two writes succeed."""
    shop = shops(strategy="{type: canary, percent: 10, bake_time: 20h}")
    shop.settings = ", deploy_timeout: 60s"
    usual = DeploymentProgress.set
    full: list[float] = []

    def store(progress: DeploymentProgress, deployment: Deployment, value: ServiceProgress) -> None:
        if full:
            raise StoreFault("the disk is full")
        usual(progress, deployment, value)

    monkeypatch.setattr(DeploymentProgress, "set", store)
    shop.at_look[3] = lambda: full.append(shop.clock.monotonic())
    with pytest.raises(StoreFault, match="the disk is full"):
        shop.deploy("b")
    assert 60 <= shop.clock.monotonic() - full[0] <= 3600
    warnings = [event.message for event in shop.events if "cannot be watched" in event.message]
    assert warnings == ["web of release 2 cannot be watched, trying again for 1m: the disk is full"]
    shop.assert_at_home("a")


def test_an_alarm_counts_while_the_store_fails(shops: Shops, monkeypatch: pytest.MonkeyPatch) -> None:
    """The judge is asked although the served time cannot be stored."""
    shop = shops(strategy="{type: canary, percent: 10, bake_time: 20h}")
    usual = DeploymentProgress.set
    faults: list[int] = []

    def store(progress: DeploymentProgress, deployment: Deployment, value: ServiceProgress) -> None:
        if shop.looks >= 3:
            faults.append(shop.looks)
            raise StoreFault("the disk is full")
        usual(progress, deployment, value)

    monkeypatch.setattr(DeploymentProgress, "set", store)
    alarm = Judgement(alarm="http_5xx_ratio 12 %")
    shop.at_look = dict.fromkeys(range(20, 40), lambda: setattr(shop, "judgement", alarm))
    with pytest.raises(RolledBack, match="http_5xx_ratio 12 %"):
        shop.deploy("b")
    assert faults
    shop.assert_at_home("a")


def test_a_lasting_fault_takes_the_requests_back(shops: Shops) -> None:
    """They need nothing but the balancer, so the new release has none while Docker is away."""
    shop = shops()
    shop.settings = ", deploy_timeout: 20s"
    shop.at_look[5] = lambda: shop.engine_away(4000)
    with pytest.raises(EngineFault, match="the engine is away"):
        shop.deploy("b")
    assert shop.shares() == {"web": 0.0}
    shop.clock.advance(timedelta(hours=2))
    shop.recover(holds=True)
    shop.assert_at_home("a")


@pytest.mark.parametrize("fault", ["undo", "event"])
def test_a_failing_store_keeps_no_requests_away(fault: str, shops: Shops, monkeypatch: pytest.MonkeyPatch) -> None:
    """The requests are back at the previous release before the rollback is stored, and before it is reported."""
    shop = shops()
    shop.alarms["b"] = "http_5xx_ratio 12 %"

    def full(*_: object) -> None:
        raise StoreFault("the disk is full")

    def is_full(event: Event) -> None:
        if event.kind == "deployment.failed":
            full()

    with monkeypatch.context() as patched:
        if fault == "undo":
            patched.setattr(DeploymentProgress, "undo", full)
        else:
            patched.setattr(shop, "die", is_full)
        with pytest.raises(StoreFault, match="the disk is full"):
            shop.deploy("b")
    assert shop.shares() == {"web": 0.0}
    shop.recover(holds=False)
    shop.assert_at_home("a")


def test_an_undo_by_recovery_takes_the_requests_back_first(shops: Shops) -> None:
    """Also where no container can be listed yet, as while Docker starts with the machine."""
    shop = shops()
    shop.kill("b", "shift.step")
    assert shop.shares() == {"web": 10.0}
    shop.engine_away(3600)
    with pytest.raises(EngineFault):
        shop.recover(holds=False)
    assert shop.shares() == {"web": 0.0}
    shop.clock.advance(timedelta(hours=2))
    shop.recover(holds=False)
    shop.assert_at_home("a")


def test_a_rollback_to_containers_that_exit_ends(shops: Shops, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also to a release with a circuit breaker. After the point of no return its containers have to start again."""
    shop = shops(strategy="rolling")
    shop.settings = ', restart: "no", circuit_breaker: {threshold: 3}'
    shop.deploy("c")
    shop.strategy, shop.settings = CANARY, ""
    shop.kill("b", "shift.homing")
    shop.events.clear()

    def crash(event: Event) -> None:
        if event.kind == "container.started":
            shop.runtime.exit(str(event.fields["target"]), 3)
            if len(shop.kinds("container.started")) > 20:
                raise Killed

    monkeypatch.setattr(shop, "die", crash)
    shop.recover(holds=False)
    assert "exited with code 3" in next(e.message for e in shop.events if e.kind == "recovery.failed")
    assert len(shop.kinds("container.started")) <= shop.replicas
    assert shop.images() == ["sha256:b"] * shop.replicas
    assert shop.shares() == {"web": 100.0}


def test_hooks_run_in_their_order(shops: Shops) -> None:
    """Each hook runs at its moment, with the share of that moment."""
    shop = shops(strategy="{type: blue_green, bake_time: 5s, test_traffic: {header: {name: X-Release, value: next}}}")
    shop.hooked.clear()
    shop.deploy("b")
    assert shop.hooked == [
        ("BeforeInstall", None),
        ("AfterInstall", 0.0),
        ("AfterAllowTestTraffic", 0.0),
        ("BeforeAllowTraffic", 0.0),
        ("AfterAllowTraffic", 100.0),
    ]


@pytest.mark.parametrize("event", ["AfterInstall", "BeforeAllowTraffic", "AfterAllowTraffic"])
def test_a_hook_that_fails_rolls_back(event: str, shops: Shops) -> None:
    """Its error is that of the run."""
    shop = shops()
    shop.failing_hook = event
    with pytest.raises(RolledBack, match=f"{event} failed"):
        shop.deploy("b")
    shop.assert_at_home("a")


def test_a_hook_in_which_a_process_dies_runs_again(shops: Shops) -> None:
    """A process that dies in AfterAllowTraffic leaves the share at 100, and the next one runs the hook."""
    shop = shops()
    shop.dying_hook = "AfterAllowTraffic"
    with pytest.raises(Killed):
        shop.deploy("b")
    shop.hooked.clear()
    shop.deploy("b")
    assert [event for event, _ in shop.hooked] == ["AfterAllowTraffic"]
    shop.assert_at_home("b")


def test_hooks_that_have_succeeded_do_not_run_again(shops: Shops) -> None:
    """Only the event in which the process died is repeated, and none if it died in a bake time."""
    shop = shops(strategy="{type: blue_green, bake_time: 600s}")
    shop.dying_hook = "BeforeAllowTraffic"
    with pytest.raises(Killed):
        shop.deploy("b")
    shop.hooked.clear()
    shop.die_after_looks = 20
    with pytest.raises(Killed):
        shop.deploy("b")
    assert [event for event, _ in shop.hooked] == ["BeforeAllowTraffic", "AfterAllowTraffic"]
    shop.hooked.clear()
    shop.die_after_looks = None
    shop.deploy("b")
    assert shop.hooked == []
    shop.assert_at_home("b")


@pytest.mark.parametrize("command", ["rollback", "scale", "restart", "down"])
def test_other_commands_undo_a_killed_deployment(command: str, shops: Shops) -> None:
    """They start from the active release."""
    shop = shops()
    shop.deploy("b")
    shop.kill("c", "shift.step")
    shop.events.clear()
    shop.command(command)
    assert shop.kinds("recovery.")[:2] == ["recovery.started", "recovery.finished"]
    if command == "down":
        assert shop.images() == []
        assert shop.balancer.declaration("shop") is None
    else:
        shop.assert_at_home("a" if command == "rollback" else "b")


def test_rollback_scale_and_restart_replace_in_the_home_group(shops: Shops) -> None:
    """They shift no traffic, and say so."""
    shop = shops()
    shop.deploy("b")
    shop.events.clear()
    for command in ("rollback", "restart", "scale"):
        shop.command(command)
    assert shop.kinds("shift.") == []
    began = [event.message for event in shop.events if event.kind == "deployment.started"]
    assert len(began) == 3
    assert all("never lowered below" in message for message in began)
    shop.assert_at_home("a")


def test_repair_leaves_a_held_deployment_alone(shops: Shops) -> None:
    """What it has moved is no drift."""
    shop = shops()
    shop.kill("b", "shift.step")
    drift = shop.drift()
    assert drift.findings() == []
    shop.recover(holds=False)
    assert drift.findings() == []


def test_repair_completes_a_rollback_that_has_failed(shops: Shops) -> None:
    """An alternate group without a deployment is drift. The active release gets all requests, and the group goes."""
    shop = shops()
    shop.kill("b", "shift.step")
    shop.abandon()
    drift = shop.drift()
    assert "what is declared is not what the balancer has" in drift.findings()
    drift.repair(threading.Event())
    shop.assert_at_home("a")
    assert drift.findings() == []


def test_a_release_that_follows_a_failed_rollback(shops: Shops) -> None:
    """The next release starts in the home group, since the alternate one is taken."""
    shop = shops()
    shop.kill("b", "shift.step")
    shop.abandon()
    shop.deploy("c")
    shop.assert_at_home("c")


def test_a_release_that_is_not_healthy_gets_no_request(shops: Shops) -> None:
    """It is rolled back from its installation, and the previous one keeps all requests."""
    shop = shops()
    shop.broken.add("sha256:b")
    shop.settings = ", deploy_timeout: 300ms"
    with pytest.raises(RolledBack, match=r"it was not healthy for 0\.3 s"):
        shop.deploy("b")
    assert shop.shown_shares() == []
    shop.assert_at_home("a")


def test_services_move_one_after_the_other(shops: Shops) -> None:
    """Each has its own alternate group. One that is done does not move again after a kill in the next one."""
    shop = shops("web", "api")
    shop.kill("b", "shift.step", 2)
    assert [(p.service, p.phase) for p in shop.progress()] == [("web", ShiftPhase.DONE), ("api", ShiftPhase.SHIFT)]
    assert shop.shares() == {"api": 10.0}
    shop.recover(holds=True)
    shop.deploy("b")
    shop.assert_at_home("b")
    assert shop.shown_shares() == [10.0, 100.0, 10.0, 100.0]
    assert [event for event, _ in shop.hooked].count("BeforeInstall") == 4


def test_all_services_are_rolled_back_together(shops: Shops) -> None:
    """If the second service fails, the first one goes back too, and the shifted share goes first."""
    shop = shops("web", "api")
    shop.kill("b", "shift.step", 2)
    shop.recover(holds=False)
    shop.assert_at_home("a")
    kinds = [event.kind for event in shop.events]
    after = kinds[kinds.index("recovery.started") :]
    assert after.index("shift.returned") < after.index("container.starting")


def test_a_changed_strategy_is_another_release(shops: Shops) -> None:
    """A deployment that was killed is undone, and the release moves by its new strategy."""
    shop = shops()
    shop.kill("b", "shift.step")
    shop.recover(holds=True)
    shop.strategy = "{type: blue_green, bake_time: 5s}"
    shop.deploy("b")
    shop.assert_at_home("b")
    assert shop.shown_shares() == [10.0, 100.0]
    assert shop.kinds("recovery.") == ["recovery.started", "recovery.finished"]


@pytest.mark.parametrize("strategy", ["rolling", "all_at_once"])
def test_the_strategy_changes_between_releases(strategy: str, shops: Shops) -> None:
    """A service moves from a canary to another strategy and back."""
    shop = shops()
    shop.strategy = strategy
    shop.deploy("b")
    shop.assert_at_home("b")
    shop.strategy = CANARY
    shop.deploy("c")
    shop.assert_at_home("c")


def test_a_rolling_deployment_bakes(shops: Shops) -> None:
    """All containers are replaced, and the release may still fail. After a kill it bakes for what is left."""
    shop = shops(strategy="{type: rolling, bake_time: 60s}")
    begun = shop.clock.monotonic()
    shop.deploy("b")
    assert shop.clock.monotonic() - begun >= 60
    assert shop.kinds("bake.") == ["bake.started", "bake.finished"]
    shop.assert_at_home("b")
    shop.kill("c", "bake.started")
    assert [found.phase for found in shop.progress()] == [ShiftPhase.BAKE]
    shop.recover(holds=True)
    shop.deploy("c")
    assert shop.kinds("bake.").count("bake.started") == 2
    shop.assert_at_home("c")


def test_a_rolling_deployment_that_dies_in_a_hook_bakes(shops: Shops) -> None:
    """The next process finds all containers replaced, and watches them nevertheless. No other hook runs again."""
    shop = shops(strategy="{type: rolling, bake_time: 60s}")
    shop.hooked.clear()
    shop.dying_hook = "AfterAllowTraffic"
    with pytest.raises(Killed):
        shop.deploy("b")
    assert [event for event, _ in shop.hooked] == ["BeforeInstall", "AfterAllowTraffic"]
    shop.hooked.clear()
    shop.recover(holds=True)
    shop.die_after_looks = shop.looks + 20
    with pytest.raises(Killed):
        shop.deploy("b")
    assert [event for event, _ in shop.hooked] == ["AfterAllowTraffic"]
    assert shop.kinds("bake.") == ["bake.started"]
    shop.die_after_looks = None
    shop.recover(holds=True)
    shop.deploy("b")
    assert [event for event, _ in shop.hooked] == ["AfterAllowTraffic"]
    assert shop.kinds("bake.") == ["bake.started", "bake.finished"]
    shop.assert_at_home("b")


def test_a_killed_bake_of_a_rolling_deployment_is_undone(shops: Shops) -> None:
    """`pipeline recover` rolls back to the previous release."""
    shop = shops(strategy="{type: rolling, bake_time: 60s}")
    shop.kill("b", "bake.started")
    shop.recover(holds=False)
    shop.assert_at_home("a")


@pytest.mark.parametrize("at", ["container.removed", "hook"])
def test_a_kill_before_a_bake_is_stored(at: str, shops: Shops) -> None:
    """The service whose containers were all replaced bakes in the next process. That of an earlier one is over."""
    shop = shops("web", "api", strategy="{type: rolling, bake_time: 600s}")
    if at == "hook":
        shop.kill("b", "bake.finished")
        assert [found.phase for found in shop.progress()] == [ShiftPhase.DONE]
        shop.dying_hook = "AfterAllowTraffic"
        with pytest.raises(Killed):
            shop.deploy("b")
    else:
        # The last one of both services.
        shop.kill("b", at, 2 * shop.replicas - 1)
        assert [found.phase for found in shop.progress()] == [ShiftPhase.DONE]
        assert shop.images("api") == ["sha256:b"] * shop.replicas
    shop.recover(holds=True)
    before = shop.clock.monotonic()
    shop.deploy("b")
    assert 600 <= shop.clock.monotonic() - before < 1200
    assert shop.kinds("bake.finished") == ["bake.finished"] * 2
    shop.assert_at_home("b")


def test_a_deployment_that_replaces_nothing_does_not_bake(shops: Shops) -> None:
    """Neither of a new release with the same containers, nor of the active one."""
    shop = shops(strategy="{type: rolling, bake_time: 600s}")
    shop.deploy("b")
    before = shop.clock.monotonic()
    shop.deploy("b")
    assert shop.clock.monotonic() - before < 600
