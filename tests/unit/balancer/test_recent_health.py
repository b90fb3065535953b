"""The health of all targets for views: the data plane is asked only if nothing else says what has changed."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.balancer.data_plane import CheckFact
from pipeline.balancer.model import Target, TargetHealth
from pipeline.balancer.recent_health import RecentHealth
from pipeline.base.errors import BalancerFault
from pipeline.testing.fakes.clock import FakeClock
from tests.support.balancer_world import GUEST, BalancerWorld

NAMES = ("web-1", "web-2", "web-3")


class Reader:
    """A view of targets. To ask the data plane costs `cost` seconds of processor time."""

    def __init__(self, directory: Path, cost: float = 0.03) -> None:
        self.world = BalancerWorld(directory)
        self.world.targets(*NAMES)
        self.clock = FakeClock()
        self.reports: int | None = 0
        ticks = count()
        self.health = RecentHealth(
            self.world.balancer, lambda: self.reports, self.clock, cpu_time=lambda: next(ticks) * cost
        )
        self.states()

    def states(self) -> dict[str, str]:
        found = self.health.read()[1]["shop", "web"]
        return {each.target.id: str(each.state) for each in found}

    def asks(self) -> bool:
        """Return whether the next call asks the data plane."""
        before = self.world.plane.calls["observe"]
        self.health.read()
        return self.world.plane.calls["observe"] > before

    def deregister(self, name: str) -> None:
        self.world.balancer.deregister("shop", "web", name)

    def recover(self, name: str) -> None:
        self.world.plane.answer_checks(name, CheckFact("passed", passes=1))
        self.world.plane.run_checks()
        assert self.reports is not None
        self.reports += 1

    def fail(self, name: str) -> None:
        self.world.fail(name)
        assert self.reports is not None
        self.reports += 1


@pytest.fixture
def reader(tmp_path: Path) -> Reader:
    return Reader(tmp_path)


def test_a_deregistration_needs_no_question(reader: Reader) -> None:
    """The registry says that the target drains. The others keep their health, as the same objects."""
    before = reader.health.read()[1]["shop", "web"]
    reader.deregister("web-2")
    assert not reader.asks()
    assert reader.states() == {"web-1": "healthy", "web-2": "draining", "web-3": "healthy"}
    after = reader.health.read()[1]["shop", "web"]
    assert [new is old for new, old in zip(after, before, strict=True)] == [True, False, True]


def test_what_the_plane_reports_is_asked(reader: Reader) -> None:
    """A failed check shows at once."""
    assert not reader.asks()
    reader.fail("web-1")
    assert reader.states()["web-1"] == "unhealthy"


def test_the_report_of_a_target_that_leaves(reader: Reader) -> None:
    """The plane reports what the registry has said. The next question is some seconds later."""
    reader.deregister("web-2")
    reader.health.read()
    reader.reports = 1
    assert not reader.asks()
    reader.clock.advance(timedelta(seconds=4.9))
    assert not reader.asks()
    reader.clock.advance(timedelta(seconds=0.2))
    assert reader.asks()
    assert not reader.asks()


def test_a_later_report_is_of_something_else(reader: Reader) -> None:
    """And is asked for at once."""
    reader.deregister("web-2")
    reader.health.read()
    reader.clock.advance(timedelta(seconds=0.4))
    reader.fail("web-1")
    assert reader.states()["web-1"] == "unhealthy"


def _advance(reader: Reader) -> None:
    reader.clock.advance(timedelta(seconds=9.1))


def _declare(reader: Reader) -> None:
    reader.world.declare(GUEST, "ads")


def _register(reader: Reader) -> None:
    reader.world.targets(*NAMES, "web-4")


def _unwatch(reader: Reader) -> None:
    reader.reports = None


@pytest.mark.parametrize("change", [_advance, _declare, _register, _unwatch])
def test_what_needs_new_facts(reader: Reader, change: Callable[[Reader], None]) -> None:
    """Old ones, other rules, a target that is open, and a plane that cannot report."""
    change(reader)
    assert reader.asks()


def test_few_targets_are_always_asked(tmp_path: Path) -> None:
    """It costs nothing."""
    assert Reader(tmp_path, cost=0.001).asks()


def _shown(found: tuple[TargetHealth, ...]) -> list[TargetHealth]:
    return [each.model_copy(update={"state_age": timedelta(0)}) for each in found]


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["deregister", "fail", "recover"]), st.sampled_from(NAMES)), max_size=6))
def test_what_is_kept_is_what_an_answer_would_be(changes: list[tuple[str, str]]) -> None:
    """After any changes a second apart, the health is that which the balancer gives."""
    with TemporaryDirectory() as folder:
        reader = Reader(Path(folder))
        for change, name in changes:
            reader.clock.advance(timedelta(seconds=1.01))
            getattr(reader, change)(name)
            found = reader.health.read()[1]["shop", "web"]
            assert _shown(found) == _shown(reader.world.balancer.all_target_health()["shop", "web"])


def test_facts_that_are_behind_the_registry_are_not_kept(reader: Reader) -> None:
    """A target is admitted, and the plane opens it later. Its report would be taken for an echo of the change."""
    balancer, plane = reader.world.balancer, reader.world.plane
    plane.answer_checks("web-4", CheckFact("passed", passes=1))
    balancer.register("shop", "web", Target(id="web-4", address="10.1.0.4", port=8080))
    plane.run_checks()
    plane.fail("steer")
    with pytest.raises(BalancerFault, match="injected"):
        balancer.reconcile()
    assert reader.states()["web-4"] != "healthy"
    balancer.reconcile()
    plane.run_checks()
    reader.reports = 1
    assert reader.states()["web-4"] == "healthy"
