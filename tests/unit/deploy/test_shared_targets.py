"""Targets of a service whose target group belongs to another owner."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.balancer.balancer import Balancer
from pipeline.balancer.model import Target, TargetState
from pipeline.testing.fakes.data_plane import FakePlane
from stages.deploy.shared_targets import SharedTargets
from tests.support.stack_group import GROUP, make_group, remove_group

OWN = Target(id="ecs-web.web.r1.aaaaaa", address="10.0.0.1", port=8080)
FOREIGN = Target(id="other", address="10.0.0.2", port=8080)


@pytest.fixture
def balancer(tmp_path: Path) -> Balancer:
    """A balancer with a group of `aws`."""
    made = Balancer(tmp_path, FakePlane())
    make_group(made, "aws", 8000)
    return made


@pytest.fixture
def shared(balancer: Balancer) -> SharedTargets:
    """The targets of the service ecs-web in that group."""
    return SharedTargets(balancer, "aws", "ecs-web.")


def test_only_the_targets_of_the_service_are_seen(balancer: Balancer, shared: SharedTargets) -> None:
    """What the group's owner has registered is neither counted nor removed."""
    balancer.register("aws", GROUP, FOREIGN)
    shared.register("ecs-web", GROUP, OWN)
    assert [health.target for health in shared.target_health("ecs-web", GROUP)] == [OWN]
    assert [health.target for health in shared.reconciled_health("ecs-web", GROUP)] == [OWN]
    shared.deregister("ecs-web", GROUP, OWN.id)
    (found,) = shared.target_health("ecs-web", GROUP)
    assert found.state is TargetState.DRAINING
    shared.abort_connections("ecs-web", GROUP, OWN.id)
    shared.remove_target("ecs-web", GROUP, OWN.id)
    assert [found.target for found in balancer.registry().registrations("aws", GROUP)] == [FOREIGN]
    assert shared.zones("ecs-web", GROUP) == ()


def test_a_group_that_was_deleted_has_no_targets(balancer: Balancer, shared: SharedTargets) -> None:
    """So the service can still be taken down."""
    remove_group(balancer, "aws")
    assert shared.target_health("ecs-web", GROUP) == ()
    for step in (shared.deregister, shared.abort_connections, shared.remove_target):
        step("ecs-web", GROUP, OWN.id)
