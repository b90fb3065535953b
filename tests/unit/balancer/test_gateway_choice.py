"""Slots of a pool: even shares, few changes, and the same for the same appliances."""

from __future__ import annotations

from collections import Counter
from ipaddress import IPv4Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.balancer.gateway.choice import SLOTS, slot_table
from pipeline.balancer.gateway.flow_key import TCP, FlowKey

ids = st.lists(st.text(st.characters(codec="utf-8"), min_size=1, max_size=12), min_size=1, max_size=40, unique=True)


def table(*names: str) -> list[str]:
    """Return the slots by name."""
    return [names[number - 1] for number in slot_table(dict(enumerate(names, 1)))]


@given(ids)
def test_shares_differ_by_one_slot(names: list[str]) -> None:
    counts = Counter(table(*names))
    assert counts.keys() == set(names)
    assert counts.total() == SLOTS
    assert max(counts.values()) - min(counts.values()) <= 1


@given(ids)
def test_numbers_and_order_do_not_matter(names: list[str]) -> None:
    """So a flow that was forgotten chooses the same appliance, also on another machine."""
    assert table(*names) == table(*sorted(names))


def test_no_target_has_no_slots() -> None:
    assert slot_table({}) == ()


@pytest.mark.parametrize("targets", [2, 3, 7, 16, 40])
def test_few_slots_of_others_move_when_a_target_leaves(targets: int) -> None:
    names = [f"fw-{number}" for number in range(targets)]
    before = table(*names)
    for gone in names[:3]:
        after = table(*(name for name in names if name != gone))
        moved = sum(one != other for one, other in zip(before, after, strict=True) if one != gone)
        assert moved / SLOTS < 0.04


@pytest.mark.parametrize("targets", [3, 7, 16])
def test_shares_of_ten_thousand_flows(targets: int) -> None:
    """Within 3 points of an even share, and within four standard deviations of chance."""
    slots = slot_table({number: f"fw-{number}" for number in range(1, targets + 1)})
    flows = 10_000
    counts = Counter(slots[_hash(number) % SLOTS] for number in range(flows))
    even = flows / targets
    for number in range(1, targets + 1):
        assert abs(counts[number] - even) < 0.03 * flows
        assert abs(counts[number] - even) < 4 * (even * (1 - 1 / targets)) ** 0.5


def _hash(number: int) -> int:
    """Return the hash of a flow of one of 8 clients, whose ports are given one after the other."""
    client = IPv4Address("198.18.0.2") + number % 8
    return FlowKey.of(client, IPv4Address("198.18.1.10"), TCP, (32768 + number // 8, 443)).hash
