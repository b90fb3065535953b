"""A stack of many types: created, drifted, updated, rolled back and deleted."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.stacks.drifts import Drifts
from tests.support.stack_machine import OWNER, MachineStacks

TEMPLATE = """
Parameters:
  Port: {Type: Number, Default: 8080}
  Path: {Type: String, Default: /}
  Message: {Type: String, Default: none}
Resources:
  Network: {Type: AWS::EC2::VPC, Properties: {CidrBlock: 10.0.0.0/16, EnableDnsHostnames: true}}
  Subnet:
    Type: AWS::EC2::Subnet
    Properties: {VpcId: !Ref Network, CidrBlock: 10.0.0.0/24, AvailabilityZone: !Select [1, !GetAZs '']}
  Gateway: {Type: AWS::EC2::InternetGateway}
  Attachment:
    Type: AWS::EC2::VPCGatewayAttachment
    Properties: {VpcId: !Ref Network, InternetGatewayId: !Ref Gateway}
  Table: {Type: AWS::EC2::RouteTable, Properties: {VpcId: !Ref Network}}
  Route:
    Type: AWS::EC2::Route
    DependsOn: Attachment
    Properties: {RouteTableId: !Ref Table, DestinationCidrBlock: 0.0.0.0/0, GatewayId: !Ref Gateway}
  Association:
    Type: AWS::EC2::SubnetRouteTableAssociation
    Properties: {RouteTableId: !Ref Table, SubnetId: !Ref Subnet}
  Group:
    Type: AWS::EC2::SecurityGroup
    Properties:
      GroupDescription: web
      VpcId: !Ref Network
      SecurityGroupIngress: [{IpProtocol: tcp, FromPort: 80, ToPort: 80, CidrIp: 0.0.0.0/0}]
  Inside:
    Type: AWS::EC2::SecurityGroupIngress
    Properties: {GroupId: !Ref Group, IpProtocol: -1, SourceSecurityGroupId: !Ref Group}
  Role: {Type: AWS::IAM::Role, Properties: {AssumeRolePolicyDocument: {}}}
  Certificate: {Type: AWS::CertificateManager::Certificate, Properties: {DomainName: shop.localhost}}
  Edge:
    Type: AWS::ElasticLoadBalancingV2::LoadBalancer
    Properties:
      Subnets: [!Ref Subnet]
      SecurityGroups: [!Ref Group]
      LoadBalancerAttributes: [{Key: idle_timeout.timeout_seconds, Value: 30}]
  Web:
    Type: AWS::ElasticLoadBalancingV2::TargetGroup
    Properties:
      VpcId: !Ref Network
      Protocol: HTTP
      Port: !Ref Port
      TargetType: ip
      HealthCheckPath: !Ref Path
      Targets: [{Id: 127.0.0.1, Port: 9001}]
      Tags: [{Key: part, Value: web}]
  Listener:
    Type: AWS::ElasticLoadBalancingV2::Listener
    Properties:
      LoadBalancerArn: !Ref Edge
      Port: 8443
      Protocol: HTTPS
      Certificates: [{CertificateArn: !Ref Certificate}]
      DefaultActions: [{Type: forward, TargetGroupArn: !Ref Web}]
  Rule:
    Type: AWS::ElasticLoadBalancingV2::ListenerRule
    Properties:
      ListenerArn: !Ref Listener
      Priority: 5
      Conditions: [{Field: path-pattern, Values: [/old/*]}]
      Actions: [{Type: redirect, RedirectConfig: {StatusCode: HTTP_302, Path: !Ref Path, Host: new.localhost}}]
  Alarm:
    Type: AWS::CloudWatch::Alarm
    Properties: {AlarmDescription: !Sub '${Web.TargetGroupFullName} ${Edge.LoadBalancerFullName}'}
Outputs:
  Name: {Value: !GetAtt Edge.DNSName}
"""
BROKEN = "  Broken: {Type: AWS::EC2::RouteTable, DependsOn: Listener, Properties: {VpcId: vpc-1}}\nOutputs:"


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[MachineStacks]:
    """A machine with the stack."""
    machine = MachineStacks(tmp_path)
    stack = machine.create_stack(TEMPLATE)
    assert (machine.failures(), stack.status) == ([], "CREATE_COMPLETE")
    yield machine
    machine.stacks.close()


def drifted(machine: MachineStacks) -> dict[str, list[str]]:
    """Return the properties of each resource that has drifted."""
    report = Drifts(machine.stacks).detect(OWNER, "lab")
    return {
        each["LogicalResourceId"]: [found["PropertyPath"] for found in each["PropertyDifferences"]]
        for each in report.resources
        if each["StackResourceDriftStatus"] not in ("IN_SYNC", "NOT_CHECKED")
    }


def test_it_leaves_nothing(machine: MachineStacks) -> None:
    """After its deletion, only the default network exists."""
    assert machine.left()
    assert machine.delete_stack().status == "DELETE_COMPLETE"
    assert machine.left() == []


def test_events_say_what_is_kept(machine: MachineStacks) -> None:
    """Each resource without an effect says so."""
    reasons = machine.reasons()
    assert reasons["Group"] == "kept: security groups filter nothing; the firewall of this machine decides"
    assert reasons["Subnet"] == "kept: it stands for the zone local-b at 127.0.0.2"
    assert reasons["Role"] == "kept: nothing checks permissions, and containers have no role"


def test_drift(machine: MachineStacks) -> None:
    """A new stack has not drifted. What a client changes by the API is found."""
    assert drifted(machine) == {}
    (balancer,) = machine.elbv2("DescribeLoadBalancers")["LoadBalancers"]
    arn = balancer["LoadBalancerArn"]
    value = {"Key": "idle_timeout.timeout_seconds", "Value": "45"}
    machine.elbv2("ModifyLoadBalancerAttributes", LoadBalancerArn=arn, Attributes=[value])
    (listener,) = machine.elbv2("DescribeListeners", LoadBalancerArn=arn)["Listeners"]
    machine.elbv2("ModifyListener", ListenerArn=listener["ListenerArn"], Port=8444)
    rules = machine.elbv2("DescribeRules", ListenerArn=listener["ListenerArn"])["Rules"]
    machine.elbv2("DeleteRule", RuleArn=rules[0]["RuleArn"])
    assert drifted(machine) == {
        "Edge": ["/LoadBalancerAttributes/idle_timeout.timeout_seconds"],
        "Listener": ["/Port"],
        "Rule": [],
    }


def test_an_update_in_place(machine: MachineStacks) -> None:
    """The health check and the rule change, and keep their ids."""
    before = machine.left()
    machine.update_stack(TEMPLATE, Path="/health")
    assert machine.failures() == []
    assert sorted(machine.left()) == sorted(before)
    assert drifted(machine) == {}


def test_an_update_that_fails_is_rolled_back(machine: MachineStacks) -> None:
    """All resources are as before, also the target group that was replaced."""
    before = sorted(machine.left())
    stack = machine.update_stack(TEMPLATE.replace("Outputs:", BROKEN), Path="/health", Port="8081")
    assert stack.status == "UPDATE_ROLLBACK_COMPLETE"
    assert sorted(machine.left()) == before
    assert drifted(machine) == {}


def test_a_subnet_that_another_load_balancer_is_in_stays(machine: MachineStacks) -> None:
    """A client of ELBv2 has made that load balancer. The stack is deleted once it is gone."""
    stack = machine.stacks.find(OWNER, "lab")
    subnet = next(each for each in machine.stacks.store.resources(stack.id) if each.logical_id == "Subnet")
    other = machine.elbv2("CreateLoadBalancer", Name="other", Subnets=[subnet.physical_id])
    assert machine.delete_stack().status == "DELETE_FAILED"
    assert any("has dependencies and cannot be deleted" in reason for reason in machine.failures())
    machine.elbv2("DeleteLoadBalancer", LoadBalancerArn=other["LoadBalancers"][0]["LoadBalancerArn"])
    assert machine.delete_stack().status == "DELETE_COMPLETE"
