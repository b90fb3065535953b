"""The providers of AWS's types for the contract suite, each with properties and others to update to."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.stacks.provider import ResourceProvider
from pipeline.stacks.providers.kept_network_types import KEPT_NETWORK_TYPES
from pipeline.stacks.providers.kept_types import KEPT_TYPES
from tests.support.stack_machine import SUBNETS, VPC, StackMachine, forward

Properties = dict[str, Any]
Prepare = Callable[[StackMachine], tuple[Properties, Properties]]


@dataclass(frozen=True)
class AwsProvider:
    """A type, and what prepares a machine for it and returns properties, changed ones, and those of another one."""

    type: str
    prepare: Callable[[StackMachine], tuple[Properties, Properties, Properties]]


def _same(
    first: Properties, changed: Properties
) -> Callable[[StackMachine], tuple[Properties, Properties, Properties]]:
    return lambda _: (first, changed, first)


def _tags(value: str) -> list[dict[str, str]]:
    return [{"Key": "part", "Value": value}]


def _tagged(properties: Properties) -> Callable[[StackMachine], tuple[Properties, Properties, Properties]]:
    return _same({**properties, "Tags": _tags("one")}, {**properties, "Tags": _tags("two")})


def _subnet(machine: StackMachine) -> tuple[Properties, Properties, Properties]:
    vpc = machine.create("AWS::EC2::VPC", "lab-Vpc-AAAAAAAAAAAA", CidrBlock="10.0.0.0/16").physical_id
    first = {"VpcId": vpc, "CidrBlock": "10.0.0.0/24", "AvailabilityZone": "local-b"}
    return first, {**first, "MapPublicIpOnLaunch": True}, {**first, "CidrBlock": "10.0.1.0/24"}


def _security_group(machine: StackMachine) -> tuple[Properties, Properties, Properties]:
    web = {"IpProtocol": "tcp", "FromPort": 80, "ToPort": 80, "CidrIp": "0.0.0.0/0"}
    first = {"GroupDescription": "web", "SecurityGroupIngress": [web], "Tags": _tags("one")}
    secure = {**web, "FromPort": 443, "ToPort": 443}
    return first, {**first, "SecurityGroupIngress": [secure], "SecurityGroupEgress": [web]}, first


def _rule(kind: str) -> Callable[[StackMachine], tuple[Properties, Properties, Properties]]:
    def prepare(machine: StackMachine) -> tuple[Properties, Properties, Properties]:
        group = machine.create("AWS::EC2::SecurityGroup", "lab-Web-AAAAAAAAAAAA", GroupDescription="web").physical_id
        first = {"GroupId": group, "IpProtocol": "tcp", "FromPort": 80, "ToPort": 80, "CidrIp": "10.0.0.0/8"}
        return first, {**first, "Description": kind}, {**first, "CidrIp": "172.16.0.0/12"}

    return prepare


def _attachment(machine: StackMachine) -> tuple[Properties, Properties, Properties]:
    vpcs = [machine.create("AWS::EC2::VPC", f"lab-Vpc-{name}", CidrBlock="10.0.0.0/16").physical_id for name in "AB"]
    gateways = [machine.create("AWS::EC2::InternetGateway", f"lab-Gateway-{name}").physical_id for name in "AB"]
    first, other = ({"VpcId": vpc, "InternetGatewayId": gateway} for vpc, gateway in zip(vpcs, gateways, strict=True))
    return first, first, other


def _route(machine: StackMachine) -> tuple[Properties, Properties, Properties]:
    vpc = machine.create("AWS::EC2::VPC", "lab-Vpc-A", CidrBlock="10.0.0.0/16").physical_id
    table = machine.create("AWS::EC2::RouteTable", "lab-Table-A", VpcId=vpc).physical_id
    gateways = [machine.create("AWS::EC2::InternetGateway", f"lab-Gateway-{name}").physical_id for name in "AB"]
    first = {"RouteTableId": table, "DestinationCidrBlock": "0.0.0.0/0", "GatewayId": gateways[0]}
    return first, {**first, "GatewayId": gateways[1]}, {**first, "DestinationCidrBlock": "192.168.0.0/16"}


def _endpoint_service(machine: StackMachine) -> tuple[Properties, Properties, Properties]:
    first = {"GatewayLoadBalancerArns": [machine.load_balancer(Type="gateway")], "AcceptanceRequired": False}
    return first, {**first, "AcceptanceRequired": True}, first


def _endpoint(machine: StackMachine) -> tuple[Properties, Properties, Properties]:
    given, _, _ = _endpoint_service(machine)
    service = machine.create("AWS::EC2::VPCEndpointService", "lab-Service-A", **given).physical_id
    name = f"com.amazonaws.vpce.eu-west-1.{service}"
    first = {"VpcEndpointType": "GatewayLoadBalancer", "VpcId": VPC, "ServiceName": name, "SubnetIds": SUBNETS[:1]}
    return first, {**first, "IpAddressType": "ipv4"}, {**first, "SubnetIds": SUBNETS[1:]}


def _association(machine: StackMachine) -> tuple[Properties, Properties, Properties]:
    table = machine.create("AWS::EC2::RouteTable", "lab-Table-A", VpcId=VPC).physical_id
    first, other = ({"RouteTableId": table, "SubnetId": subnet} for subnet in SUBNETS)
    return first, first, other


def _target_group(_: StackMachine) -> tuple[Properties, Properties, Properties]:
    first = {
        "VpcId": VPC,
        "Port": 8080,
        "Protocol": "HTTP",
        "TargetType": "ip",
        "Targets": [{"Id": "127.0.0.1", "Port": 9001}],
        "Tags": _tags("one"),
    }
    changed = {
        **first,
        "HealthCheckPath": "/health",
        "Targets": [{"Id": "127.0.0.1", "Port": 9002}],
        "TargetGroupAttributes": [{"Key": "deregistration_delay.timeout_seconds", "Value": "5"}],
    }
    return first, changed, first


def _listener(machine: StackMachine) -> tuple[Properties, Properties, Properties]:
    group, balancer = machine.target_group(), machine.load_balancer()
    first = {"LoadBalancerArn": balancer, "Port": 8081, "Protocol": "HTTP", "DefaultActions": forward(group)}
    fixed = {"Type": "fixed-response", "FixedResponseConfig": {"StatusCode": "200"}}
    return first, {**first, "DefaultActions": [fixed]}, {**first, "Port": 8082}


def _listener_arn(machine: StackMachine, **properties: Any) -> str:
    given = {"Port": 8081, "Protocol": "HTTP", "DefaultActions": forward(machine.target_group()), **properties}
    balancer = machine.load_balancer()
    return machine.create(
        "AWS::ElasticLoadBalancingV2::Listener", "lab-Http-AAAAAAAAAAAA", LoadBalancerArn=balancer, **given
    ).physical_id


def _listener_rule(machine: StackMachine) -> tuple[Properties, Properties, Properties]:
    group = machine.target_group("lab-Other-AAAAAAAAAAAA")
    condition = {"Field": "path-pattern", "Values": ["/api/*"]}
    first = {
        "ListenerArn": _listener_arn(machine),
        "Priority": 1,
        "Conditions": [condition],
        "Actions": forward(group),
    }
    changed = {**first, "Priority": 3, "Conditions": [{**condition, "Values": ["/v2/*"]}]}
    return first, changed, {**first, "Priority": 2}


def _listener_certificate(machine: StackMachine) -> tuple[Properties, Properties, Properties]:
    arns = [
        machine.create("AWS::CertificateManager::Certificate", f"lab-{n}-A", DomainName=f"{n}.localhost").physical_id
        for n in ("one", "two", "three")
    ]
    listener = _listener_arn(machine, Protocol="HTTPS", Certificates=[{"CertificateArn": arns[0]}])
    first, changed = ({"ListenerArn": listener, "Certificates": [{"CertificateArn": arn}]} for arn in arns[1:])
    return first, changed, first


_PREPARE: Mapping[str, Callable[[StackMachine], tuple[Properties, Properties, Properties]]] = {
    "AWS::CertificateManager::Certificate": _tagged({"DomainName": "shop.localhost"}),
    "AWS::EC2::EIP": _tagged({}),
    "AWS::EC2::InternetGateway": _tagged({}),
    "AWS::EC2::Route": _route,
    "AWS::EC2::RouteTable": _tagged({"VpcId": VPC}),
    "AWS::EC2::SecurityGroup": _security_group,
    "AWS::EC2::SecurityGroupEgress": _rule("out"),
    "AWS::EC2::SecurityGroupIngress": _rule("in"),
    "AWS::EC2::Subnet": _subnet,
    "AWS::EC2::SubnetRouteTableAssociation": _association,
    "AWS::EC2::VPC": _same({"CidrBlock": "10.1.0.0/16"}, {"CidrBlock": "10.1.0.0/16", "EnableDnsHostnames": True}),
    "AWS::EC2::VPCEndpoint": _endpoint,
    "AWS::EC2::VPCEndpointService": _endpoint_service,
    "AWS::EC2::VPCGatewayAttachment": _attachment,
    "AWS::ElasticLoadBalancingV2::Listener": _listener,
    "AWS::ElasticLoadBalancingV2::ListenerCertificate": _listener_certificate,
    "AWS::ElasticLoadBalancingV2::ListenerRule": _listener_rule,
    "AWS::ElasticLoadBalancingV2::LoadBalancer": _same(
        {"Subnets": SUBNETS, "Tags": _tags("one")},
        {
            "Subnets": SUBNETS[:1],
            "LoadBalancerAttributes": [{"Key": "idle_timeout.timeout_seconds", "Value": "30"}],
            "Tags": _tags("two"),
        },
    ),
    "AWS::ElasticLoadBalancingV2::TargetGroup": _target_group,
    "AWS::SSM::Parameter": _same(
        {"Type": "String", "Value": "1"}, {"Type": "String", "Value": "2", "Description": "how many"}
    ),
}


def _kept(required: tuple[str, ...]) -> Callable[[StackMachine], tuple[Properties, Properties, Properties]]:
    first = {name: f"{name.lower()}-one" for name in required}
    other = {name: f"{name.lower()}-two" for name in required}
    return lambda _: (first, {**first, "Note": "changed"}, other)


AWS_PROVIDERS = {
    **{name: AwsProvider(name, prepare) for name, prepare in _PREPARE.items()},
    **{name: AwsProvider(name, _kept(kept.required)) for name, kept in {**KEPT_TYPES, **KEPT_NETWORK_TYPES}.items()},
}


def prepared(name: str, folder: Path) -> tuple[ResourceProvider[Any], Properties, Properties, Properties]:
    """Return a provider on a new machine, and what its type's preparation returns."""
    machine = StackMachine(folder)
    return (machine.provider(name), *AWS_PROVIDERS[name].prepare(machine))
