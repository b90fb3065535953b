"""The plan of a rollout, which asks the strategy that the rollout would ask."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from pipeline.balancer.model import TargetState
from stages.deploy.decision import (
    ActionType,
    ContainerState,
    DesiredState,
    Observation,
    Replica,
    RolloutAction,
    RolloutDecision,
)
from stages.deploy.rolling import RollingStrategy
from stages.deploy.simulation import simulate

SERVING = Observation(
    tuple(
        Replica(f"old{n}", "old", ContainerState.RUNNING, TargetState.HEALTHY, in_flight=4, restart_policy_set=True)
        for n in range(2)
    )
)
WANTED = DesiredState("new", 2, 1, 0, timedelta(seconds=30), timedelta(seconds=60))


class DownFirst:
    """A strategy that takes everything out of service, and ends."""

    def decide(self, seen: Observation, desired: DesiredState) -> RolloutDecision:
        left = [r for r in seen.replicas if r.target is TargetState.HEALTHY]
        return RolloutDecision(tuple(RolloutAction(ActionType.DEREGISTER, r.name) for r in left), converged=not left)


def test_a_rolling_plan_names_each_step_and_its_limits() -> None:
    """One new replica at a time, each healthy before an old one is drained."""
    plan = simulate(SERVING, WANTED, RollingStrategy())
    assert plan.steps == (
        "start new-1",
        "wait until new-1 is healthy",
        "drain old0",
        "stop old0",
        "start new-2",
        "wait until new-2 is healthy",
        "drain old1",
        "stop old1",
    )
    assert (plan.lowest_healthy, plan.most_running) == (2, 3)


def test_a_plan_is_that_of_its_strategy() -> None:
    """The simulation decides nothing itself."""
    plan = simulate(SERVING, WANTED, DownFirst())
    assert plan.steps == ("drain old0", "drain old1")
    assert plan.lowest_healthy == 0


def test_nothing_is_planned_for_what_serves_already() -> None:
    """Its plan has no steps, and its limits are those of now."""
    plan = simulate(SERVING, replace(WANTED, template="old"), RollingStrategy())
    assert plan.steps == ()
    assert (plan.lowest_healthy, plan.most_running) == (2, 2)
