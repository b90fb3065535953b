"""The balancer while the disk of its directory is full."""

from __future__ import annotations

import errno
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from pipeline.balancer.balancer import Balancer
from pipeline.balancer.data_plane import CheckFact
from pipeline.balancer.haproxy.log_rotation import rotate
from pipeline.balancer.model import Declaration, Target, TargetState
from pipeline.balancer.planes import open_balancer
from pipeline.base.errors import BalancerFault
from pipeline.testing.fakes.data_plane import FakePlane
from tests.support.ports import free_port

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


def test_a_target_is_replaced(small_disk: Path) -> None:
    """The repair of a removed container needs all of this: declare again, register, admit, drain, remove."""
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


def test_a_refused_change_says_that_the_disk_is_full(small_disk: Path) -> None:
    """A change that needs space is a fault with its reason, in a new directory too, and what was declared stays."""
    first, second = ({"internal": True, "port": free_port(), "groups": count} for count in (1, 9))
    fill(small_disk)
    balancer = open_balancer(small_disk / "balancer")
    full = f"cannot write to {small_disk / 'balancer'}: the disk is full"
    for change in (balancer.apply, balancer.check):
        with pytest.raises(BalancerFault, match=f"^{full}"):
            change("shop", declared(**first))
    (small_disk / "full").unlink()
    balancer.apply("shop", declared(**first))
    try:
        fill(small_disk)
        for change in (balancer.apply, balancer.check):
            with pytest.raises(BalancerFault, match=f"^{full}"):
                change("shop", declared(**second))
        assert balancer.declares("shop", declared(**first))
        balancer.reconcile()
    finally:
        balancer.withdraw("shop")


def test_a_failed_change_is_taken_back(tmp_path: Path) -> None:
    """An error of the system while the plane is changed becomes a fault, and the former declaration returns."""
    plane = FakePlane()
    balancer = Balancer(tmp_path / "balancer", plane)
    balancer.apply("shop", DECLARED)
    other = declared(internal=False, port=8081, groups=2)
    changes: tuple[Callable[[], object], ...] = (
        lambda: balancer.apply("shop", other),
        lambda: balancer.change("shop", lambda known: known.declare("shop", other)),
    )
    for change in changes:
        plane.fail("apply", PermissionError(errno.EACCES, "Permission denied", "/x"))
        with pytest.raises(BalancerFault, match=r"failed: \[Errno 13\] Permission denied: '/x'$"):
            change()
        assert balancer.declares("shop", DECLARED)


def declared(*, internal: bool, port: int, groups: int) -> Declaration:
    listener = {"port": port, "default_action": {"forward": "web0"}}
    edge = {"scheme": "internal" if internal else "internet-facing", "listeners": [listener]}
    found = {f"web{number}": {"port": 80} for number in range(groups)}
    return Declaration.model_validate({"target_groups": found, "load_balancers": {"edge": edge}})


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
def test_targets_are_registered_after_many_changes(small_disk: Path, many: int) -> None:
    """The reserve holds the registry with all changes that were appended since it was written as a whole."""
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
