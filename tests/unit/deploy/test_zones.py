"""Zones of replicas: an even spread, and no zone that a rollout leaves without a healthy target."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import islice, product

import pytest

from pipeline.balancer.model import TargetState
from stages.deploy.decision import ActionType, ContainerState, Observation, Replica
from stages.deploy.rolling import RollingStrategy, decide
from stages.deploy.simulation import simulate
from stages.deploy.zones import spread
from tests.unit.deploy.rollouts import Rollouts, desired

ZONES = ("zone-a", "zone-b")


def standing(name: str, zone: str | None, template: str = "new", state: TargetState = TargetState.HEALTHY) -> Replica:
    return Replica(name, template, ContainerState.RUNNING, state, restart_policy_set=True, zone=zone)


def retired(*replicas: Replica, wanted: int, surge: int = 1, unavailable: int = 0) -> list[str]:
    want = replace(desired(2, wanted, surge=surge), template="new", max_unavailable=unavailable)
    return [a.name for a in decide(replicas, 0, want).actions if a.verb is ActionType.DEREGISTER]


@pytest.mark.parametrize(
    ("taken", "zone"),
    [([], "zone-a"), (["zone-a"], "zone-b"), (["zone-b", None, None], "zone-a"), (["zone-a", "zone-b"], "zone-a")],
)
def test_the_next_zone_has_the_fewest(taken: list[str | None], zone: str) -> None:
    """The next replica goes where the fewest are, and where there are as many, to the first zone."""
    assert next(spread(ZONES, taken)) == zone


def test_replicas_that_start_together_are_spread() -> None:
    """Each of several starts counts for the next ones."""
    assert [*islice(spread(ZONES, ["zone-a"]), 4)] == ["zone-b", "zone-a", "zone-b", "zone-a"]


def test_the_successor_of_an_unhealthy_replica_is_in_its_zone() -> None:
    """A replica that is replaced does not count, although it still runs."""
    sick = standing("b", "zone-b", state=TargetState.UNHEALTHY)
    want = replace(desired(2, 2), template="new", zones=ZONES)
    (start,) = (a for a in decide((standing("a", "zone-a"), sick), 0, want).actions if a.verb is ActionType.START)
    assert start.zone == "zone-b"


def test_without_zones_a_replica_is_in_none() -> None:
    """A load balancer without zones gives replicas none."""
    assert next(spread((), ["zone-a"])) is None


def test_the_last_of_a_zone_waits_for_its_successor() -> None:
    """An old replica goes only when another healthy one serves its zone."""
    olds = [standing("old-a", "zone-a", "old"), standing("old-b", "zone-b", "old")]
    assert retired(*olds, standing("new-a", "zone-a"), wanted=2) == ["old-a"]
    assert retired(*olds, standing("new-b", "zone-b"), wanted=2) == ["old-b"]


def test_one_without_a_zone_serves_every_zone() -> None:
    """Beside a healthy replica of every zone, any other may go."""
    assert retired(standing("old-b", "zone-b", "old"), standing("new", None), wanted=1) == ["old-b"]


def test_a_zone_that_the_release_leaves_is_emptied() -> None:
    """If nothing else is on its way, the last replica of a zone goes too."""
    assert retired(standing("old-b", "zone-b", "old"), standing("new-a", "zone-a"), wanted=1) == ["old-b"]


def test_without_surge_a_zone_may_be_empty_for_a_while() -> None:
    """If no replica may be added, one must go first, although it is the only one of its zone."""
    olds = [standing("old-a", "zone-a", "old"), standing("old-b", "zone-b", "old")]
    assert len(retired(*olds, wanted=2, surge=0, unavailable=1)) == 1


def test_down_drains_all_zones_at_once() -> None:
    """If no replica is wanted, the last ones of their zones do not wait for the others."""
    assert len(retired(standing("a", "zone-a"), standing("b1", "zone-b"), standing("b2", "zone-b"), wanted=0)) == 3


def test_scaling_down_takes_from_the_fullest_zone() -> None:
    """Of two replicas in one zone and one in the other, one of the two goes."""
    kept = [standing("a1", "zone-a"), standing("b1", "zone-b"), standing("b2", "zone-b")]
    assert set(retired(*kept, wanted=2)) <= {"b1", "b2"}


def test_a_plan_names_the_zones() -> None:
    """The plan of a first rollout says in which zone each replica starts."""
    plan = simulate(Observation(()), replace(desired(1, 2, surge=2), zones=ZONES), RollingStrategy())
    assert plan.steps[:2] == ("start new-1 in zone-a", "start new-2 in zone-b")


@pytest.mark.parametrize(("replicas", "surge"), [*product([2, 3, 4, 5], [1, 2])])
def test_a_rollout_spreads_evenly_and_empties_no_zone(replicas: int, surge: int) -> None:
    """After each rollout the zones differ by one replica at most, and each has a healthy target all the time."""
    rollouts = Rollouts()
    rollouts.balancer.enabled = ZONES
    lowest = Counter(dict.fromkeys(ZONES, 99))

    def look() -> None:
        healthy = Counter(h.target.zone for h in rollouts.balancer.target_health("shop", "web") if h.state == "healthy")
        for zone in ZONES:
            lowest[zone] = min(lowest[zone], healthy[zone])

    rollouts.to(1, replace(desired(1, replicas, surge=replicas), zones=ZONES))
    rollouts.balancer.after_deregistration = look
    for release in (2, 3):
        rollouts.to(release, replace(desired(release, replicas, surge=surge), zones=ZONES))
        zones = Counter(replica.zone for replica in rollouts.runtime.list("shop"))
        assert zones == Counter({"zone-a": -(-replicas // 2), "zone-b": replicas // 2})
    assert min(lowest.values()) >= 1
