"""A service that moves from one target group to another: every group with traffic has healthy targets all the time."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.balancer.balancer import Balancer
from pipeline.balancer.model import Declaration, Target, TargetState
from pipeline.base.errors import Cancelled
from pipeline.testing.fakes.data_plane import FakePlane
from stages.deploy.moving_targets import MemberGroup, MovingTargets
from stages.deploy.shared_targets import SharedTargets

OWNER, SERVICE, PREFIX = "aws", "ecs-web", "ecs-web."
FORMER = Target(id="ecs-web.web.r1.aaaaaa", address="10.0.0.1", port=8080)
NEW = Target(id="ecs-web.web.r2.bbbbbb", address="10.0.0.2", port=9090)


class Move:
    """A service with a target in the group `old`, which moves to the group `new`."""

    def __init__(self, folder: Path) -> None:
        self.plane = FakePlane()
        self.balancer = Balancer(folder, self.plane)
        self.forward(old=1, new=0)
        self.old = SharedTargets(self.balancer, OWNER, PREFIX)
        self.old.register(SERVICE, "old", FORMER)
        self.pass_checks(FORMER)
        self.old.reconciled_health(SERVICE, "old")

    def forward(self, **weights: int) -> None:
        """Let the listener forward to the groups by these weights."""
        check = {"path": "/", "interval": "200ms"}
        groups = {name: {"port": 80, "health_check": check} for name in ("old", "new")}
        forward = [{"target_group": name, "weight": weight} for name, weight in weights.items()]
        listener = {"port": 8000, "default_action": {"forward": {"target_groups": forward}}}
        declaration = {"target_groups": groups, "load_balancers": {"edge": {"listeners": [listener]}}}
        self.balancer.apply(OWNER, Declaration.model_validate(declaration))

    def targets(self, protocol: str = "HTTP") -> MovingTargets:
        """Return the targets as the deployment sees them. `protocol` is that of the new group."""
        return MovingTargets(self.member("new", protocol), [self.member("old", "HTTP")], delay=0.1)

    def pass_checks(self, *targets: Target) -> None:
        """Let targets pass their checks, in all groups."""
        for target in targets:
            self.plane.answer_checks(target.id)
        for _ in range(3):
            self.balancer.reconcile()
            self.plane.run_checks()

    def states(self, group: str) -> dict[str, TargetState]:
        """Return the states of the targets of a group."""
        return {h.target.id: h.state for h in self.balancer.target_health(OWNER, group)}

    def member(self, name: str, protocol: str) -> MemberGroup:
        return MemberGroup(
            self.old,
            name,
            gets_traffic=lambda: self.balancer.registry().gets_traffic(OWNER, name),
            is_used=lambda: self.balancer.registry().is_used(OWNER, name),
            protocol=protocol,
        )


@pytest.fixture
def move(tmp_path: Path) -> Move:
    """A service in the group `old`, which gets all requests."""
    return Move(tmp_path)


def states(targets: MovingTargets) -> dict[str, TargetState]:
    return {h.target.id: h.state for h in targets.reconciled_health(SERVICE, "new")}


def test_the_present_targets_are_in_both_groups_before_anything_else(move: Move) -> None:
    """So the listener may change at any time. They count as healthy meanwhile."""
    targets = move.targets()
    targets.join(SERVICE)
    assert move.states("new") == {FORMER.id: TargetState.INITIAL}
    assert states(targets) == {FORMER.id: TargetState.HEALTHY}
    assert sorted(move.balancer.registry().groups_with(PREFIX)) == [(OWNER, "new"), (OWNER, "old")]
    targets.join(SERVICE)
    assert states(targets) == {FORMER.id: TargetState.HEALTHY}


def test_a_new_target_counts_where_the_traffic_is(move: Move) -> None:
    """It passes the check of its own group first, and then that of the former one, before it replaces anything."""
    targets = move.targets()
    targets.join(SERVICE)
    targets.register(SERVICE, "new", NEW)
    assert states(targets)[NEW.id] is TargetState.INITIAL
    assert NEW.id not in move.states("old")
    move.pass_checks(NEW)
    assert states(targets)[NEW.id] is TargetState.INITIAL
    assert move.states("old")[NEW.id] is TargetState.INITIAL
    move.pass_checks(NEW)
    assert states(targets) == {FORMER.id: TargetState.HEALTHY, NEW.id: TargetState.HEALTHY}
    targets.deregister(SERVICE, "new", FORMER.id)
    assert states(targets)[FORMER.id] is TargetState.DRAINING
    assert {group: move.states(group)[FORMER.id] for group in ("old", "new")} == {
        "old": TargetState.DRAINING,
        "new": TargetState.DRAINING,
    }
    targets.abort_connections(SERVICE, "new", FORMER.id)
    targets.remove_target(SERVICE, "new", FORMER.id)
    assert move.states("old") == move.states("new") == {NEW.id: TargetState.HEALTHY}


def test_a_target_that_a_crash_left_draining_in_one_group_is_deregistered_again(move: Move) -> None:
    """It may still get requests in the other one."""
    targets = move.targets()
    targets.join(SERVICE)
    move.pass_checks(FORMER)
    move.old.deregister(SERVICE, "new", FORMER.id)
    assert states(targets)[FORMER.id] is TargetState.HEALTHY


def test_once_the_listener_has_changed_the_new_group_decides(move: Move) -> None:
    """A new target is not registered in a group that gets no requests any more."""
    targets = move.targets()
    targets.join(SERVICE)
    move.pass_checks(FORMER)
    move.forward(new=1)
    targets.register(SERVICE, "new", NEW)
    move.pass_checks(NEW)
    assert states(targets)[NEW.id] is TargetState.HEALTHY
    assert NEW.id not in move.states("old")


def test_with_another_protocol_a_target_is_in_one_group_only(move: Move) -> None:
    """It does not count before its group gets requests, or it would replace the last target of the former group."""
    targets = move.targets("GRPC")
    targets.join(SERVICE)
    assert move.states("new") == {}
    targets.register(SERVICE, "new", NEW)
    move.pass_checks(NEW)
    assert states(targets) == {FORMER.id: TargetState.HEALTHY, NEW.id: TargetState.INITIAL}
    move.forward(new=1)
    assert states(targets) == {FORMER.id: TargetState.UNUSED, NEW.id: TargetState.HEALTHY}


def test_the_former_group_is_left_after_the_listener(move: Move) -> None:
    """While the listener forwards to it, its targets stay. A cancelled deployment stops waiting."""
    targets = move.targets()
    targets.join(SERVICE)
    move.pass_checks(FORMER)

    def change(_: float) -> None:
        assert move.states("old") == {FORMER.id: TargetState.HEALTHY}
        move.forward(new=1)

    targets.leave(SERVICE, change)
    assert move.states("old") == {}
    assert move.states("new") == {FORMER.id: TargetState.HEALTHY}

    def cancel(_: float) -> None:
        raise Cancelled("cancelled")

    move.forward(new=1, old=1)
    back = MovingTargets(move.member("old", "HTTP"), [move.member("new", "HTTP")], delay=0.1)
    back.join(SERVICE)
    with pytest.raises(Cancelled):
        back.leave(SERVICE, cancel)
    assert move.states("new") == {FORMER.id: TargetState.HEALTHY}
