"""The balancer while the disk of its directory is full."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest

from pipeline.balancer.balancer import Balancer
from pipeline.balancer.data_plane import CheckFact
from pipeline.balancer.haproxy.log_rotation import rotate
from pipeline.balancer.model import Declaration, Target, TargetState
from pipeline.testing.fakes.data_plane import FakePlane

DECLARED = Declaration.model_validate(
    {
        "target_groups": {"web": {"port": 80}},
        "load_balancers": {"edge": {"listeners": [{"port": 8080, "default_action": {"forward": "web"}}]}},
    }
)


def fill(disk: Path) -> None:
    with suppress(OSError), (disk / "full").open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))


def test_a_target_is_replaced(small_disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The repair of a removed container needs all of this: declare again, register, admit, drain, remove."""
    monkeypatch.setattr("pipeline.balancer.balancer.check_ports_free", lambda *_: None)
    plane = FakePlane()
    balancer = Balancer(small_disk / "balancer", plane)
    balancer.apply("shop", DECLARED)
    balancer.register("shop", "web", Target(id="a", address="10.0.0.1", port=80))
    fill(small_disk)
    balancer.apply("shop", DECLARED)
    for number in range(2, 6):
        name = f"b{number}"
        balancer.register("shop", "web", Target(id=name, address=f"10.0.0.{number}", port=80))
        plane.answer_checks(name, CheckFact("passed", passes=1))
        plane.run_checks()
        balancer.reconcile()
        health = {found.target.id: found.state for found in balancer.target_health("shop", "web")}
        assert health[name] is TargetState.HEALTHY
        for other in health.keys() - {name}:
            balancer.deregister("shop", "web", other)
            balancer.remove_target("shop", "web", other)
    assert [found.target.id for found in Balancer(small_disk / "balancer", plane).target_health("shop", "web")] == [
        "b5"
    ]


def test_a_long_access_log_makes_room(small_disk: Path) -> None:
    """Without space for a copy, the log stays and the second file is removed. The next call then moves the log."""
    log, rotated = small_disk / "access.log", small_disk / "access.log.1"
    lines = b"".join(b"line %d\n" % number for number in range(4000))
    log.write_bytes(lines)
    rotated.write_bytes(lines)
    fill(small_disk)
    rotate(log, 0, 2**20)
    assert log.read_bytes() == lines
    assert not rotated.exists()
    rotate(log, 0, 2**20)
    assert (log.read_bytes(), rotated.read_bytes()) == (b"", lines)
    assert {path.name for path in small_disk.iterdir()} == {"access.log", "access.log.1", "full"}


@pytest.mark.parametrize("many", [50, 200, 390])
def test_targets_are_registered_after_many_changes(
    small_disk: Path, monkeypatch: pytest.MonkeyPatch, many: int
) -> None:
    """The reserve holds the registry with all changes that were appended since it was written as a whole."""
    monkeypatch.setattr("pipeline.balancer.balancer.check_ports_free", lambda *_: None)
    balancer = Balancer(small_disk / "balancer", FakePlane())
    balancer.apply("shop", DECLARED)
    for first in range(0, many, 10):
        balancer.register("shop", "web", *(_target(number) for number in range(first, first + 10)))
    fill(small_disk)
    balancer.register("shop", "web", _target(many + 10))
    found = Balancer(small_disk / "balancer", FakePlane()).registry()
    assert found.registrations("shop", "web")[-1].target == _target(many + 10)


def _target(number: int) -> Target:
    return Target(id=f"t{number}", address=f"10.0.{number // 200}.{number % 200 + 1}", port=80)
