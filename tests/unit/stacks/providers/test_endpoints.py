"""Endpoints of gateway load balancers, their services and routes in a stack."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.aws.errors import AwsError
from pipeline.balancer.wanted import plane_config
from tests.support.stack_machine import SUBNETS, VPC, MachineStacks, StackMachine

_SERVICE, _ENDPOINT = "AWS::EC2::VPCEndpointService", "AWS::EC2::VPCEndpoint"
_STACK = f"""
Parameters: {{Service: {{Type: String, Default: 'false'}}}}
Resources:
  Firewalls:
    Type: AWS::ElasticLoadBalancingV2::TargetGroup
    Properties: {{Protocol: GENEVE, Port: 6081, VpcId: {VPC}, TargetType: ip, HealthCheckProtocol: TCP}}
  Inspection:
    Type: AWS::ElasticLoadBalancingV2::LoadBalancer
    Properties: {{Type: gateway, Subnets: [{SUBNETS[0]}, {SUBNETS[1]}]}}
  Listener:
    Type: AWS::ElasticLoadBalancingV2::Listener
    Properties:
      LoadBalancerArn: !Ref Inspection
      DefaultActions: [{{Type: forward, TargetGroupArn: !Ref Firewalls}}]
  Offer:
    Type: {_SERVICE}
    Properties: {{GatewayLoadBalancerArns: [!Ref Inspection], AcceptanceRequired: !Ref Service}}
  Endpoint:
    Type: {_ENDPOINT}
    Properties:
      VpcEndpointType: GatewayLoadBalancer
      VpcId: {VPC}
      ServiceName: !Sub com.amazonaws.vpce.${{AWS::Region}}.${{Offer}}
      SubnetIds: [{SUBNETS[0]}]
  Inspected:
    Type: AWS::EC2::Subnet
    Properties:
      VpcId: {VPC}
      CidrBlock: 172.31.200.0/24
      Tags: [{{Key: 'penstock:network', Value: namespace/lab}}]
  Table:
    Type: AWS::EC2::RouteTable
    Properties: {{VpcId: {VPC}}}
  Association:
    Type: AWS::EC2::SubnetRouteTableAssociation
    Properties: {{RouteTableId: !Ref Table, SubnetId: !Ref Inspected}}
  Route:
    Type: AWS::EC2::Route
    DependsOn: Association
    Properties: {{RouteTableId: !Ref Table, DestinationCidrBlock: 0.0.0.0/0, VpcEndpointId: !Ref Endpoint}}
Outputs: {{Endpoint: {{Value: !GetAtt Endpoint.Id}}}}
"""


def test_a_stack_leads_a_network_through_appliances(tmp_path: Path) -> None:
    """The route attaches the network. All is gone with the stack."""
    machine = MachineStacks(tmp_path)
    stack = machine.create_stack(_STACK, Service="false")
    assert stack.status == "CREATE_COMPLETE", machine.failures()
    (endpoint,) = plane_config(machine.balancer.registry()).endpoints
    assert [(each.kind, each.place, each.addresses, each.routes) for each in endpoint.networks] == [
        ("namespace", "lab", ("172.31.200.0/24",), ("0.0.0.0/0",))
    ]
    assert [each.value for each in stack.outputs] == [endpoint.id]
    machine.delete_stack()
    registry = machine.balancer.registry()
    assert not registry.endpoints
    assert not registry.endpoint_services
    machine.stacks.close()


def test_a_policy_limits_the_networks(tmp_path: Path) -> None:
    """A stack that attaches another one fails with EC2's error, and nothing of it is left."""
    machine = MachineStacks(tmp_path)
    machine.endpoint_networks = ("namespace/office",)
    stack = machine.create_stack(_STACK, Service="false")
    assert stack.status == "ROLLBACK_COMPLETE"
    reason = "endpoint_networks in the policy of shop does not list namespace/lab"
    assert any(reason in each for each in machine.failures()), machine.failures()
    assert not machine.balancer.registry().endpoints
    machine.stacks.close()


def test_other_types_are_only_kept(tmp_path: Path) -> None:
    """Templates of networks for AWS often have endpoints of S3 in them."""
    machine = StackMachine(tmp_path)
    kept = machine.create(_ENDPOINT, "lab-S3-AAAAAAAAAAAA", VpcId=VPC, ServiceName="com.amazonaws.eu-west-1.s3")
    assert kept.reason.startswith("kept: nothing connects by it")
    assert not machine.balancer.registry().endpoints


def test_tags_change(tmp_path: Path) -> None:
    """They are those of the template, in place."""
    machine = StackMachine(tmp_path)
    offer = {"GatewayLoadBalancerArns": [machine.load_balancer(Type="gateway")], "AcceptanceRequired": False}
    service = machine.create(_SERVICE, "lab-Offer-AAAAAAAAAAAA", **offer).physical_id
    given = {
        "VpcEndpointType": "GatewayLoadBalancer",
        "VpcId": VPC,
        "SubnetIds": SUBNETS[:1],
        "ServiceName": f"com.amazonaws.vpce.eu-west-1.{service}",
    }
    old, new = [{"Key": "team", "Value": "web"}], [{"Key": "cost", "Value": "1"}]
    endpoint = machine.create(_ENDPOINT, "lab-Endpoint-AAAAAAAAAAAA", **given, Tags=old).physical_id
    machine.update(_ENDPOINT, endpoint, {**given, "Tags": old}, {**given, "Tags": new})
    machine.update(_SERVICE, service, offer, {**offer, "Tags": new})
    (shown,) = machine.ec2("DescribeVpcEndpoints")["VpcEndpoints"]
    (offered,) = machine.ec2("DescribeVpcEndpointServiceConfigurations")["ServiceConfigurations"]
    assert shown["Tags"] == offered["Tags"] == new


def test_a_service_with_endpoints_stays(tmp_path: Path) -> None:
    """Its deletion fails with EC2's error."""
    machine = StackMachine(tmp_path)
    arn = machine.load_balancer(Type="gateway")
    service = machine.create(_SERVICE, "lab-Offer-AAAAAAAAAAAA", GatewayLoadBalancerArns=[arn])
    machine.create(
        _ENDPOINT,
        "lab-Endpoint-AAAAAAAAAAAA",
        VpcEndpointType="GatewayLoadBalancer",
        VpcId=VPC,
        SubnetIds=SUBNETS[:1],
        ServiceName=f"com.amazonaws.vpce.eu-west-1.{service.physical_id}",
    )
    assert service.reason == ""
    with pytest.raises(AwsError, match="ExistingVpcEndpointConnections"):
        machine.provider(_SERVICE).delete(service.physical_id)
