"""Which properties need another resource, as AWS documents it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.stack_machine import StackMachine

_RULE = "CidrIp CidrIpv6 FromPort GroupId IpProtocol ToPort"
REPLACES = {
    "AWS::CertificateManager::Certificate": (
        "DomainName DomainValidationOptions KeyAlgorithm SubjectAlternativeNames ValidationMethod"
    ),
    "AWS::EC2::EIP": "",
    "AWS::EC2::InternetGateway": "",
    "AWS::EC2::Route": "DestinationCidrBlock DestinationIpv6CidrBlock DestinationPrefixListId RouteTableId",
    "AWS::EC2::RouteTable": "VpcId",
    "AWS::EC2::SecurityGroup": "GroupDescription GroupName VpcId",
    "AWS::EC2::SecurityGroupEgress": f"{_RULE} DestinationPrefixListId DestinationSecurityGroupId",
    "AWS::EC2::SecurityGroupIngress": (
        f"{_RULE} SourcePrefixListId SourceSecurityGroupId SourceSecurityGroupName SourceSecurityGroupOwnerId"
    ),
    "AWS::EC2::Subnet": "AvailabilityZone CidrBlock VpcId",
    "AWS::EC2::SubnetRouteTableAssociation": "RouteTableId SubnetId",
    "AWS::EC2::VPC": "CidrBlock InstanceTenancy",
    "AWS::ElasticLoadBalancingV2::Listener": "LoadBalancerArn",
    "AWS::ElasticLoadBalancingV2::ListenerCertificate": "ListenerArn",
    "AWS::ElasticLoadBalancingV2::ListenerRule": "ListenerArn",
    "AWS::ElasticLoadBalancingV2::LoadBalancer": "Name Scheme Type",
    "AWS::ElasticLoadBalancingV2::TargetGroup": (
        "IpAddressType Name Port Protocol ProtocolVersion TargetType VpcId TargetControlPort"
    ),
    "AWS::IAM::Role": "Path RoleName",
    "AWS::Logs::LogGroup": "LogGroupName",
    "AWS::Route53::RecordSet": "HostedZoneId HostedZoneName Name",
    "AWS::SNS::Topic": "FifoTopic TopicName",
}


@pytest.mark.parametrize("name", REPLACES)
def test_properties_that_replace(name: str, tmp_path: Path) -> None:
    """A change of these properties needs another resource, and a change of the others does not."""
    assert StackMachine(tmp_path).provider(name).replaces == set(REPLACES[name].split())


def test_every_property_that_replaces_exists(tmp_path: Path) -> None:
    """A type whose properties are known has all those that replace its resources."""
    machine = StackMachine(tmp_path)
    for name in machine.types:
        provider = machine.provider(name)
        if provider.properties.model_config.get("extra") != "allow":
            known = {field.alias for field in provider.properties.model_fields.values()}
            assert provider.replaces <= known, name
