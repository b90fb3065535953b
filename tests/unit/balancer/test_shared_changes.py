"""Changes that threads make at the same time."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pipeline.balancer.balancer import Balancer
from pipeline.balancer.data_plane import PlaneConfig
from pipeline.balancer.model import ApplicationTargetGroup
from pipeline.balancer.registry import Registry
from pipeline.balancer.resources import TargetGroupResource
from pipeline.balancer.shared_changes import PendingChange, SharedChanges
from pipeline.base.errors import BalancerFault, ConfigError
from pipeline.testing.fakes.data_plane import FakePlane
from tests.support.waiting import DEADLINE, until

OWNER, BAD = "shop", 13


class PickyPlane(FakePlane):
    """A plane that refuses one group, and says nothing against the others."""

    def check(self, wanted: PlaneConfig) -> str | None:
        found = super().check(wanted)
        return "unknown keyword" if f"{OWNER}.group-{BAD}" in wanted.groups else found


def pending(number: int) -> PendingChange:
    return PendingChange(OWNER, lambda known: known.put(group(number)), Registry(), Registry().put(group(number)))


def group(number: int) -> TargetGroupResource:
    settings = ApplicationTargetGroup.model_validate({"port": 80})
    return TargetGroupResource(
        id=f"{number:016x}", owner=OWNER, made_by="api", name=f"group-{number}", settings=settings
    )


def names(registry: Registry) -> set[str]:
    return {found.name for found in registry.target_groups.values()}


def test_changes_during_a_call_share_the_next_one() -> None:
    """Each gets the registry right after itself, which has the changes before it."""
    calls, gate, results = list[int](), threading.Event(), list[Registry]()

    def carry_out(changes: Sequence[PendingChange]) -> None:
        calls.append(len(changes))
        gate.wait(DEADLINE)
        registry = Registry()
        for each in changes:
            registry = each.applied_to(registry)

    shared = SharedChanges(carry_out)
    with ThreadPoolExecutor(6) as threads:
        first = threads.submit(shared.make, pending(0))
        until(lambda: calls, "the first call")
        others = [threads.submit(shared.make, pending(number)) for number in range(1, 6)]
        until(lambda: shared.waiting == 5, "five wait")
        gate.set()
        results = [each.result(DEADLINE) for each in others]
    assert calls == [1, 5]
    assert names(first.result()) == {"group-0"}
    assert sorted(map(len, map(names, results))) == [1, 2, 3, 4, 5]


def test_a_fault_of_the_call_reaches_every_thread() -> None:
    """None waits for a result that does not come, and the next change is made."""
    calls, gate = list[int](), threading.Event()

    def carry_out(changes: Sequence[PendingChange]) -> None:
        calls.append(len(changes))
        gate.wait(DEADLINE)
        if len(calls) == 2:
            raise BalancerFault("the disk is full")
        for each in changes:
            each.applied_to(Registry())

    shared = SharedChanges(carry_out)
    with ThreadPoolExecutor(3) as threads:
        threads.submit(shared.make, pending(0))
        until(lambda: calls, "the first call")
        others = [threads.submit(shared.make, pending(number)) for number in (1, 2)]
        until(lambda: shared.waiting == 2, "two wait")
        gate.set()
        for each in others:
            assert isinstance(each.exception(10), BalancerFault)
    assert names(shared.make(pending(3))) == {"group-3"}


def test_one_that_is_refused_does_not_stop_the_others(tmp_path: Path) -> None:
    """What the plane refuses, or the change itself, concerns only the thread that wants it."""
    plane = PickyPlane()
    balancer = Balancer(tmp_path, plane)

    def change(number: int) -> Registry:
        return balancer.change(OWNER, lambda known: known.put(group(number)))

    def impossible(known: Registry) -> Registry:
        if known.target_groups:
            raise ConfigError("too late")
        return known.put(group(0))

    with ThreadPoolExecutor(5) as threads:
        with plane.hanging("apply"):
            first = threads.submit(change, 1)
            until(lambda: plane.calls["apply"], "the first change is applied")
            refused = threads.submit(change, BAD)
            good = [threads.submit(change, number) for number in (2, 3)]
        found = {name for each in (first, *good) for name in names(each.result(DEADLINE))}
        assert found >= {"group-1", "group-2", "group-3"}
        with pytest.raises(ConfigError, match="HAProxy rejects the balancer of shop: unknown keyword"):
            refused.result(DEADLINE)
    with pytest.raises(ConfigError, match="too late"):
        balancer.change(OWNER, impossible)
    assert names(balancer.registry()) == {"group-1", "group-2", "group-3"}
