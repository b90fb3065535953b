"""AWS's resource types, with the makers of their providers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from pipeline.stacks.provider import ResourceProvider, StackContext
from pipeline.stacks.providers import (
    certificate,
    gateway_attachment,
    route,
    ssm_parameter,
    vpc_endpoint,
    vpc_endpoint_service,
)
from pipeline.stacks.providers.ec2 import Ec2
from pipeline.stacks.providers.elastic_address import ElasticAddress
from pipeline.stacks.providers.elbv2 import listener_certificate
from pipeline.stacks.providers.elbv2.client import Elbv2
from pipeline.stacks.providers.elbv2.listener import Listener
from pipeline.stacks.providers.elbv2.listener_rule import ListenerRule
from pipeline.stacks.providers.elbv2.load_balancer import LoadBalancer
from pipeline.stacks.providers.elbv2.target_group import TargetGroup
from pipeline.stacks.providers.internet_gateway import InternetGateway
from pipeline.stacks.providers.kept import Kept
from pipeline.stacks.providers.kept_network_types import KEPT_NETWORK_TYPES
from pipeline.stacks.providers.kept_types import KEPT_TYPES
from pipeline.stacks.providers.machine import Machine
from pipeline.stacks.providers.route_table import RouteTable
from pipeline.stacks.providers.route_table_association import RouteTableAssociation
from pipeline.stacks.providers.security_group import SecurityGroup
from pipeline.stacks.providers.security_group_rule import SecurityGroupEgress, SecurityGroupIngress
from pipeline.stacks.providers.subnet import Subnet
from pipeline.stacks.providers.vpc import Vpc
from pipeline.stacks.resource_types import Maker

Provider = ResourceProvider[Any]
_EC2: Mapping[str, Callable[[Ec2], Provider]] = {
    "EIP": ElasticAddress,
    "InternetGateway": InternetGateway,
    "RouteTable": RouteTable,
    "SecurityGroup": SecurityGroup,
    "SecurityGroupEgress": SecurityGroupEgress,
    "SecurityGroupIngress": SecurityGroupIngress,
    "Subnet": Subnet,
    "SubnetRouteTableAssociation": RouteTableAssociation,
    "VPC": Vpc,
}
_ELBV2: Mapping[str, Callable[[Elbv2], Provider]] = {
    "Listener": Listener,
    "ListenerRule": ListenerRule,
    "LoadBalancer": LoadBalancer,
    "TargetGroup": TargetGroup,
}


def aws_types(machine: Machine) -> dict[str, Maker]:
    """Return AWS's types of a machine."""
    return {
        **{name: partial(_kept, machine, name) for name in (*KEPT_TYPES, *KEPT_NETWORK_TYPES)},
        **{f"AWS::EC2::{name}": partial(_of_ec2, machine, make) for name, make in _EC2.items()},
        **{f"AWS::ElasticLoadBalancingV2::{name}": partial(_of_elbv2, machine, make) for name, make in _ELBV2.items()},
        certificate.TYPE: lambda context: certificate.Certificate(machine.certificates, context),
        gateway_attachment.TYPE: lambda context: gateway_attachment.GatewayAttachment(
            machine.ec2(context), machine.kept
        ),
        listener_certificate.TYPE: lambda context: listener_certificate.ListenerCertificate(
            machine.elbv2(context), machine.kept
        ),
        ssm_parameter.TYPE: lambda context: ssm_parameter.SsmParameter(machine.parameters, context),
        vpc_endpoint.TYPE: lambda context: vpc_endpoint.VpcEndpoint(machine.ec2(context), machine.kept),
        vpc_endpoint_service.TYPE: lambda context: vpc_endpoint_service.VpcEndpointService(
            machine.ec2(context), machine.kept
        ),
        route.TYPE: lambda context: route.Route(machine.ec2(context), machine.kept),
    }


def _kept(machine: Machine, name: str, context: StackContext) -> Provider:
    return Kept(name, KEPT_TYPES.get(name) or KEPT_NETWORK_TYPES[name], machine.kept, context)


def _of_ec2(machine: Machine, make: Callable[[Ec2], Provider], context: StackContext) -> Provider:
    return make(machine.ec2(context))


def _of_elbv2(machine: Machine, make: Callable[[Elbv2], Provider], context: StackContext) -> Provider:
    return make(machine.elbv2(context))
