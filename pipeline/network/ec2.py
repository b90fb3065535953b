"""EC2's API over the networks of a home."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from functools import partial
from typing import Any

from pipeline.aws.errors import AwsError
from pipeline.aws.service import Call, Operation, Service
from pipeline.network import account, attached, describe, elastic_addresses, gateways, security_groups, tags, vpcs
from pipeline.network.attached import Instances, Interfaces
from pipeline.network.state import State
from pipeline.network.store import NetworkStore
from pipeline.network.vpc_endpoints import NoEndpoints, VpcEndpoints

Reading = Callable[[Call, State], dict[str, Any]]
Changing = Callable[[Call, State], tuple[State, dict[str, Any]]]

_READING: Mapping[str, Reading] = {
    "DescribeVpcs": describe.VPCS,
    "DescribeVpcAttribute": vpcs.describe_vpc_attribute,
    "DescribeSubnets": describe.SUBNETS,
    "DescribeSecurityGroups": security_groups.describe_security_groups,
    "DescribeSecurityGroupRules": security_groups.describe_rules,
    "DescribeInternetGateways": describe.INTERNET_GATEWAYS,
    "DescribeRouteTables": describe.ROUTE_TABLES,
    "DescribeAddresses": elastic_addresses.describe_addresses,
    "DescribeAddressesAttribute": elastic_addresses.describe_attributes,
    "DescribeAccountAttributes": lambda call, _: account.describe_account(call),
}
_ROUTE = "RouteTableId DestinationCidrBlock DestinationIpv6CidrBlock GatewayId VpcEndpointId"
# Each with the parameters that mean something here.
_CHANGING: Mapping[str, tuple[Changing, str]] = {
    "CreateVpc": (vpcs.create_vpc, "CidrBlock InstanceTenancy TagSpecifications"),
    "DeleteVpc": (vpcs.delete_vpc, "VpcId"),
    "ModifyVpcAttribute": (
        vpcs.modify_vpc_attribute,
        "VpcId EnableDnsSupport EnableDnsHostnames EnableNetworkAddressUsageMetrics",
    ),
    "ModifySubnetAttribute": (vpcs.modify_subnet_attribute, "SubnetId MapPublicIpOnLaunch"),
    "CreateSecurityGroup": (
        security_groups.create_security_group,
        "GroupName Description VpcId TagSpecifications",
    ),
    "AuthorizeSecurityGroupIngress": (
        security_groups.authorize_ingress,
        "GroupId GroupName IpPermissions IpProtocol FromPort ToPort CidrIp TagSpecifications",
    ),
    "AuthorizeSecurityGroupEgress": (
        security_groups.authorize_egress,
        "GroupId IpPermissions IpProtocol FromPort ToPort CidrIp TagSpecifications",
    ),
    "RevokeSecurityGroupIngress": (
        security_groups.revoke_ingress,
        "GroupId GroupName IpPermissions IpProtocol FromPort ToPort CidrIp SecurityGroupRuleIds",
    ),
    "RevokeSecurityGroupEgress": (
        security_groups.revoke_egress,
        "GroupId IpPermissions IpProtocol FromPort ToPort CidrIp SecurityGroupRuleIds",
    ),
    "CreateInternetGateway": (gateways.create_gateway, "TagSpecifications"),
    "AttachInternetGateway": (gateways.attach_gateway, "InternetGatewayId VpcId"),
    "DetachInternetGateway": (gateways.detach_gateway, "InternetGatewayId VpcId"),
    "DeleteInternetGateway": (gateways.delete_gateway, "InternetGatewayId"),
    "CreateRouteTable": (gateways.create_table, "VpcId TagSpecifications ClientToken"),
    "DeleteRouteTable": (gateways.delete_table, "RouteTableId"),
    "DeleteRoute": (gateways.delete_route, "RouteTableId DestinationCidrBlock DestinationIpv6CidrBlock"),
    "AssociateRouteTable": (gateways.associate_table, "RouteTableId SubnetId"),
    "DisassociateRouteTable": (gateways.disassociate_table, "AssociationId"),
    "AllocateAddress": (elastic_addresses.allocate_address, "Domain TagSpecifications"),
}


def ec2_service(
    store: NetworkStore, interfaces: Interfaces, instances: Instances, endpoints: VpcEndpoints | None = None
) -> Service:
    """Return the service: networks from `store`, interfaces of load balancers, and containers as instances.

    `endpoints` are those of gateway load balancers.
    """
    known = endpoints or NoEndpoints()

    def used(call: Call, of: Callable[[attached.Interface], tuple[str, ...]]) -> frozenset[str]:
        return frozenset(name for each in interfaces(call.owner) for name in of(each))

    reading: dict[str, Reading] = {
        **_READING,
        "DescribeAvailabilityZones": lambda call, _: account.describe_zones(call, store.zones),
        "DescribeNetworkInterfaces": lambda call, state: attached.describe_interfaces(call, state, interfaces),
        "DescribeTags": lambda call, state: tags.describe_tags(call, state, known.tags(call.owner)),
        "DescribeInstances": lambda call, state: attached.describe_instances(call, state, instances),
    }
    changing: dict[str, tuple[Changing, str]] = {
        **_CHANGING,
        "CreateSubnet": (
            lambda call, state: vpcs.create_subnet(call, state, store.zones),
            "VpcId CidrBlock AvailabilityZone TagSpecifications",
        ),
        "CreateRoute": (lambda call, state: gateways.create_route(call, state, known.ids(call.owner)), _ROUTE),
        "ReplaceRoute": (lambda call, state: gateways.replace_route(call, state, known.ids(call.owner)), _ROUTE),
        "DeleteSubnet": (
            lambda call, state: vpcs.delete_subnet(
                call, state, used(call, lambda each: (each.subnet_id,)).union(known.subnets(call.owner))
            ),
            "SubnetId",
        ),
        "DeleteSecurityGroup": (
            lambda call, state: security_groups.delete_security_group(
                call, state, used(call, lambda each: each.groups)
            ),
            "GroupId GroupName",
        ),
        "ReleaseAddress": (
            lambda call, state: elastic_addresses.release_address(
                call, state, used(call, lambda each: (each.address,))
            ),
            "AllocationId PublicIp NetworkBorderGroup",
        ),
    }
    operations = {name: _reading(store, read) for name, read in reading.items()}
    operations |= {name: _changing(store, known, *described) for name, described in changing.items()}
    operations["CreateTags"] = _tagging(store, known, tags.create_tags, tags.added_tags)
    operations["DeleteTags"] = _tagging(store, known, tags.delete_tags, tags.left_tags)
    operations |= known.operations()
    return Service("ec2", "2016-11-15", "ec2", operations)


def _reading(store: NetworkStore, read: Reading) -> Operation:
    def carry_out(call: Call) -> dict[str, Any]:
        result = read(call, store.read(call.owner))
        _check_dry_run(call)
        return result

    return carry_out


def _tagging(
    store: NetworkStore,
    endpoints: VpcEndpoints,
    of_networks: Callable[[Call, State, Collection[str]], tuple[State, dict[str, Any]]],
    of_one: Callable[[Call, Mapping[str, str]], Mapping[str, str]],
) -> Operation:
    """Return an operation on tags of networks, endpoints and their services. It changes all of them, or nothing."""
    return _changing(
        store,
        endpoints,
        lambda call, state: of_networks(call, state, endpoints.tags(call.owner)),
        "Resources Tags",
        lambda call: endpoints.change_tags(call.owner, call.parameters["Resources"], partial(of_one, call)),
    )


def _changing(
    store: NetworkStore,
    endpoints: VpcEndpoints,
    change: Changing,
    accepted: str,
    finish: Callable[[Call], None] = lambda _: None,
) -> Operation:
    """Return an operation that changes networks. `finish` is called last, before the state is stored."""
    names = frozenset(accepted.split()) | {"DryRun"}

    def checked(call: Call, state: State) -> tuple[State, dict[str, Any]]:
        after, result = change(call, state)
        _check_dry_run(call)
        if after is not state:
            endpoints.follow(call.owner, after)
        finish(call)
        return after, result

    def carry_out(call: Call) -> dict[str, Any]:
        for name, value in call.parameters.items():
            # What is switched off, or empty, asks for nothing.
            if name not in names and value not in (False, 0, "", [], {"Value": False}):
                raise AwsError("UnsupportedOperation", f"The parameter {name} has no meaning on this machine")
        return store.change(call.owner, lambda state: checked(call, state))

    return carry_out


def _check_dry_run(call: Call) -> None:
    if call.parameters.get("DryRun"):
        raise AwsError("DryRunOperation", "Request would have succeeded, but DryRun flag is set.", 412)
