"""The choice of a host for a replica."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.engine.placement import Candidate, Placement, choose_host

SPREAD, PACK = Placement.SPREAD, Placement.PACK


@pytest.mark.parametrize(
    ("candidates", "policy", "zone", "chosen"),
    [
        ([("one", "a", 0, 0), ("two", "b", 0, 0)], SPREAD, None, "one"),
        ([("one", "a", 1, 1), ("two", "b", 0, 0)], SPREAD, None, "two"),
        # The zone comes before the host.
        ([("one", "a", 2, 2), ("two", "a", 0, 0), ("three", "b", 1, 1)], SPREAD, None, "three"),
        ([("one", "a", 2, 2), ("two", "a", 0, 0), ("three", "b", 2, 2)], SPREAD, None, "two"),
        # Equal replicas come before all.
        ([("one", "a", 1, 1), ("two", "b", 0, 5)], SPREAD, None, "two"),
        ([("one", "a", 1, 3), ("two", "b", 1, 2)], SPREAD, None, "two"),
        ([("one", "a", 0, 0), ("two", "b", 9, 9)], SPREAD, "b", "two"),
        ([("one", "a", 0, 0)], SPREAD, "c", None),
        ([("one", "a", 9, 9), ("two", "b", 0, 0)], PACK, None, "one"),
        ([("one", "a", 9, 9), ("two", "b", 0, 0)], PACK, "b", "two"),
        ([], SPREAD, None, None),
    ],
)
def test_the_host_of_a_replica(
    candidates: list[tuple[str, str, int, int]], policy: Placement, zone: str | None, chosen: str | None
) -> None:
    """By policy, zone, and what is there."""
    assert choose_host([Candidate(*each) for each in candidates], policy, zone) == chosen


@pytest.mark.parametrize("policy", Placement)
def test_a_lost_host_gets_nothing(policy: Placement) -> None:
    """And its replicas do not count for its zone."""
    hosts = [Candidate("one", "a", 9, 9, is_lost=True), Candidate("two", "a"), Candidate("three", "b", 1, 1)]
    assert choose_host(hosts, policy) == "two"
    assert choose_host(hosts[:1], policy) is None


@given(st.lists(st.sampled_from("abc"), min_size=1, max_size=6), st.integers(0, 20))
def test_replicas_are_spread_over_zones_and_hosts(zones: list[str], replicas: int) -> None:
    """No zone has two more than another, and no host two more than another one of its zone."""
    hosts = {str(number): zone for number, zone in enumerate(zones)}
    on = Counter[str]()
    for _ in range(replicas):
        chosen = choose_host([Candidate(name, zone, on[name], on[name]) for name, zone in hosts.items()], SPREAD)
        assert chosen is not None
        on[chosen] += 1
    in_zone = {zone: sum(on[name] for name in hosts if hosts[name] == zone) for zone in zones}
    assert max(in_zone.values()) - min(in_zone.values()) <= 1
    for zone in zones:
        counts = [on[name] for name in hosts if hosts[name] == zone]
        assert max(counts) - min(counts) <= 1
