"""Repairs and deployments of one pipeline: never together, and the deployment goes first."""

from __future__ import annotations

from datetime import timedelta

from pipeline.store.records import RunState
from tests.support.fake_stages import REPAIR
from tests.unit.core.world import NAME, World


def test_a_repair_gives_way_to_a_deployment(world: World) -> None:
    """It is cancelled, and continues after the deployment."""
    daemon = world.serve()
    world.stages.findings = ["web-1 is missing"]
    hold = world.stages.hold(REPAIR)
    world.until(hold.entered.is_set, "a repair")
    deployment = world.stages.hold("deploy", 1)
    daemon.commit("a")
    world.until(deployment.entered.is_set, "the deployment begins")
    assert [event.message for event in daemon.heard if event.kind == "reconcile.preempted"]
    assert world.stages.repaired == 0
    hold.release()
    deployment.release()
    world.until(lambda: world.stages.repaired, "a repair")
    world.until_idle()
    assert world.states() == ["succeeded"]
    world.assert_consistent()


def test_a_deployment_waits_for_a_repair_that_does_not_stop(world: World) -> None:
    """It is in Deploy, and moves nothing until the repair has returned."""
    daemon = world.serve()
    world.stages.findings = ["web-1 is missing"]
    hold = world.stages.hold(REPAIR, deaf=True)
    world.until(hold.entered.is_set, "a repair")
    daemon.commit("a")
    world.until(lambda: len(world.store.runs.stages(NAME, 1)) == 3, "the run is in Deploy")
    world.clock.advance(timedelta(minutes=1))
    assert ("deploy", 1) not in world.stages.passed
    assert world.store.deployments.open(NAME) is None
    hold.release()
    world.until_state(1, RunState.SUCCEEDED)
    world.assert_consistent()


def test_nothing_is_repaired_during_a_deployment(world: World) -> None:
    """Differences that appear meanwhile are repaired after it."""
    daemon = world.serve()
    hold = world.stages.hold("deploy", 1)
    daemon.commit("a")
    world.until(hold.entered.is_set, "the deployment begins")
    world.stages.findings = ["web-1 is missing"]
    start = world.clock.monotonic()
    world.until(lambda: world.clock.monotonic() > start + 30, "time passes")
    assert world.stages.repaired == 0
    hold.release()
    world.until(lambda: world.stages.repaired, "a repair")
    world.until_idle()
    world.assert_consistent()


def test_nothing_is_repaired_during_a_recovery(world: World) -> None:
    """A deployment that could not be closed is recovered by the same daemon, which keeps repairs off."""
    daemon = world.serve()
    hold = world.stages.hold("deploy", 1)
    recovery = world.stages.hold("recover")
    daemon.commit("a")
    world.until(hold.entered.is_set, "the deployment begins")
    # The disk stays full until the run has ended without a word.
    daemon.power.full_at = range(daemon.power.count, daemon.power.count + 6)
    hold.release()
    world.until(recovery.entered.is_set, "the recovery begins")
    world.stages.findings = ["web-1 is missing"]
    start = world.clock.monotonic()
    world.until(lambda: world.clock.monotonic() > start + 30, "time passes")
    assert world.stages.repaired == 0
    recovery.release()
    world.until_idle()
    world.until(lambda: world.stages.repaired, "a repair")
    assert world.stages.recovered == [1]
    world.assert_consistent()
