"""Rollouts while the wall clock is set."""

from __future__ import annotations

from datetime import timedelta

import pytest

from tests.unit.deploy.rollouts import Rollouts, desired

HOUR = timedelta(hours=1)
STEPS = pytest.mark.parametrize("step", [HOUR, -HOUR], ids=["forward", "back"])


@pytest.fixture
def web() -> Rollouts:
    """A service whose release 1 is active with three replicas."""
    web = Rollouts()
    web.serve_former()
    return web


@STEPS
@pytest.mark.parametrize("at", [0.01, 0.05, 0.1, 1, 5, 12, 29.9, 30.01])
def test_a_rollout_takes_as_long_as_without(web: Rollouts, step: timedelta, at: float) -> None:
    """Drains, starts and deadlines have their full time, and no more."""
    endless, quick = web.names(1)[:2]
    web.balancer.in_flight.update([endless, quick])
    web.time.after(12, lambda: web.balancer.in_flight.pop(quick))
    before = web.time.passed
    web.time.after(at, lambda: web.time.jump(step))
    web.to(2, desired(2, surge=3))
    web.assert_serving(2)
    assert timedelta(seconds=30) <= web.time.passed - before < timedelta(seconds=31)
    assert set(web.balancer.aborted) == {endless}


@STEPS
@pytest.mark.parametrize("surge", [1, 3])
def test_a_slow_start_has_its_full_time(web: Rollouts, step: timedelta, surge: int) -> None:
    """A release that becomes healthy after 50 s of 60 s is not rolled back."""
    web.sick.add(2)
    web.time.after(10, lambda: web.time.jump(step))
    web.time.after(50, web.sick.clear)
    web.to(2, desired(2, surge=surge))
    web.assert_serving(2)


@STEPS
def test_a_replica_of_a_killed_process_has_its_full_time(web: Rollouts, step: timedelta) -> None:
    """It is taken over, although the clock was set since its start."""
    stray = web.start_stray(2)
    web.time.jump(step)
    web.sick.add(stray)
    web.time.after(40, web.sick.clear)
    web.to(2, desired(2, surge=3))
    assert stray in web.names(2)


@STEPS
def test_a_process_continues_the_drain_of_another(web: Rollouts, step: timedelta) -> None:
    """The delay counts from the deregistration."""
    name = web.names(1)[0]
    web.balancer.in_flight[name] = 1
    web.balancer.deregister("shop", "web", name)
    web.time.wait(20)
    web.time.jump(step)
    before = web.time.passed
    web.to(2, desired(2, surge=3))
    assert timedelta(seconds=10) <= web.time.passed - before < timedelta(seconds=11)
