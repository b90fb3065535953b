"""Counts of flows: exact for a few marks, and rare where all flows are counted."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from pipeline.balancer.flows.flow_counter import FlowCounter
from pipeline.balancer.kernel.conntrack import FlowCount


class Machine:
    """A machine on which a count of all flows takes some seconds."""

    def __init__(self, seconds: float = 2.0) -> None:
        self.now = 0.0
        self.seconds = seconds
        self.flows: Mapping[int, FlowCount] = {1: FlowCount(1, 1), 2: FlowCount(2, 3)}
        self.asked: list[Collection[int] | None] = []

    def counter(self) -> FlowCounter:
        return FlowCounter(self.count, lambda: self.now, lambda: self.now)

    def count(self, marks: Collection[int] | None) -> Mapping[int, FlowCount]:
        self.asked.append(marks)
        self.now += self.seconds if marks is None else 0.01 * len(marks)
        return {mark: found for mark, found in self.flows.items() if marks is None or mark in marks}


def test_all_flows_are_counted_in_a_twentieth_of_the_time() -> None:
    machine = Machine()
    counter = machine.counter()
    for _ in range(1000):
        assert counter.recent() == machine.flows
        machine.now += 0.1
    assert len(machine.asked) * 2.0 <= machine.now / 20 + 2.0


def test_recent_counts_follow_the_flows() -> None:
    machine = Machine()
    counter = machine.counter()
    counter.recent()
    machine.flows = {}
    machine.now += 37.9
    assert counter.recent()
    machine.now += 0.2
    assert not counter.recent()


def test_quick_counts_are_of_now() -> None:
    machine = Machine(seconds=0.004)
    counter = machine.counter()
    counter.recent()
    machine.flows = {}
    assert not counter.recent()


def test_exact_counts_are_of_now() -> None:
    machine = Machine()
    counter = machine.counter()
    counter.recent()
    machine.flows = {2: FlowCount(0, 1)}
    assert counter.exact([1, 2]) == {2: FlowCount(0, 1)}
    assert counter.exact([1]) == {}


def test_nothing_is_counted_for_no_marks() -> None:
    machine = Machine()
    assert machine.counter().exact([]) == {}
    assert machine.asked == []


def test_the_cheaper_way_to_count_exactly_is_taken() -> None:
    machine = Machine(seconds=0.055)
    counter = machine.counter()
    counter.recent()
    for number in (1, 5, 6, 100):
        assert counter.exact(range(1, number + 1)) == {
            mark: found for mark, found in machine.flows.items() if mark <= number
        }
    assert machine.asked[1:] == [range(1, 2), range(1, 6), None, None]


def test_the_way_changes_with_the_number_of_flows() -> None:
    machine = Machine(seconds=0.001)
    counter = machine.counter()
    counter.recent()
    counter.exact([1])
    counter.exact([1, 2])
    machine.seconds = 2.0
    counter.exact([1, 2])
    counter.exact([1, 2])
    assert machine.asked[2:] == [None, None, [1, 2]]
