"""Updates of stacks under load, with a real balancer."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path

import pytest

from pipeline.balancer.balancer import Balancer
from pipeline.balancer.planes import open_balancer
from pipeline.base.home import Home
from pipeline.stacks.goals import StackRequest
from pipeline.stacks.offered import open_stacks
from pipeline.stacks.records import Stack
from pipeline.stacks.stacks import Stacks
from pipeline.testing.load.load import Load
from pipeline.testing.load.profile import LoadProfile
from tests.support.backend import Backend
from tests.support.ports import free_port
from tests.support.waiting import until

OWNER = "aws"
TEMPLATE = """
Parameters:
  ListenerPort: {Type: Number}
  TargetPort: {Type: Number}
Resources:
  Network: {Type: AWS::EC2::VPC, Properties: {CidrBlock: 10.0.0.0/16}}
  Subnet:
    Type: AWS::EC2::Subnet
    Properties: {VpcId: !Ref Network, CidrBlock: 10.0.0.0/24, AvailabilityZone: !Select [0, !GetAZs '']}
  Edge:
    Type: AWS::ElasticLoadBalancingV2::LoadBalancer
    Properties: {Type: TYPE, Subnets: [!Ref Subnet]}
  Web:
    Type: AWS::ElasticLoadBalancingV2::TargetGroup
    Properties:
      VpcId: !Ref Network
      Protocol: PROTOCOL
      Port: !Ref TargetPort
      TargetType: ip
      HealthCheckPath: /healthz
      HealthCheckProtocol: HTTP
      HealthCheckIntervalSeconds: 5
      HealthyThresholdCount: 2
      Targets: [{Id: 127.0.0.1}]
  Listener:
    Type: AWS::ElasticLoadBalancingV2::Listener
    Properties:
      LoadBalancerArn: !Ref Edge
      Port: !Ref ListenerPort
      Protocol: PROTOCOL
      DefaultActions: [{Type: forward, TargetGroupArn: !Ref Web}]
"""
RULE = """
  Rule:
    Type: AWS::ElasticLoadBalancingV2::ListenerRule
    Properties:
      ListenerArn: !Ref Listener
      Priority: 1
      Conditions: [{Field: path-pattern, Values: [/*]}]
      Actions: [{Type: forward, TargetGroupArn: !Ref Web}]
"""


@pytest.fixture
def stacks(tmp_path: Path) -> Iterator[Stacks]:
    """Stacks of a home, all of which are deleted at the end."""
    stacks = open_stacks(Home(tmp_path))
    yield stacks
    for stack in stacks.store.all(OWNER):
        stacks.delete(OWNER, stack.id)
        stacks.wait(stack.id, timedelta(seconds=60))
    stacks.close()


def end(stacks: Stacks, stack: Stack) -> str:
    """Wait for the end of an operation. Return the status, or the first failure."""
    done = stacks.wait(stack.id, timedelta(seconds=90))
    failed = [e.reason for _, e in stacks.store.events(stack.id) if e.status.endswith("_FAILED")]
    return failed[0] if failed else done.status


@pytest.mark.parametrize(
    ("kind", "protocol", "rule"),
    [("application", "HTTP", ""), ("application", "HTTP", RULE), ("network", "TCP", "")],
    ids=["default-action", "rule", "network"],
)
def test_another_port_of_a_target_group_loses_no_request(
    stacks: Stacks, tmp_path: Path, kind: str, protocol: str, rule: str
) -> None:
    """The target group is replaced. The new one takes over when its target is healthy, and the old one goes."""
    text = TEMPLATE.replace("PROTOCOL", protocol).replace("TYPE", kind) + rule
    listener = free_port()
    with ExitStack() as servers:
        old, new = Backend("old"), Backend("new")
        for server in (old, new):
            servers.callback(server.end)
        values = {"ListenerPort": str(listener), "TargetPort": str(old.server_port)}
        stack = stacks.create(OWNER, "us-east-1", "shop", StackRequest(text, values))
        assert end(stacks, stack) == "CREATE_COMPLETE"
        balancer = open_balancer(Home(tmp_path).balancer)
        before = group(balancer)
        balancer.wait_healthy(OWNER, before, timedelta(seconds=30))
        with Load.start(LoadProfile(f"http://127.0.0.1:{listener}/", rate=100, posts=0)) as load:
            stack = stacks.update(OWNER, "shop", StackRequest(None, {**values, "TargetPort": str(new.server_port)}))
            assert end(stacks, stack) == "UPDATE_COMPLETE"
            # A kept connection may use the old target until its drain ends. The next new one must not.
            until(lambda: new.requests > 0, "the new target gets the requests")
            report = load.stop()
    assert report.failed == 0
    assert report.sent > 50
    assert group(balancer) != before


def group(balancer: Balancer) -> str:
    """Return the name of the only target group."""
    (found,) = balancer.registry().target_groups.values()
    return found.name
