"""The types of EC2 that change nothing on one machine. Their resources are kept, with AWS's ids and attributes."""

from __future__ import annotations

from collections.abc import Mapping

from pipeline.stacks.providers.kept import KeptType, Text

_ROUTES = "kept: packets take the routes of this machine"
_ADDRESSES = "kept: it gives nothing an address"
_FILTERS = "kept: it filters nothing"
_ENDPOINTS = "kept: nothing connects by it; load balancers are reached at the addresses of their zones"


def _kept(
    reason: str, ref: str, required: str = "", replaces: str = "", attributes: Mapping[str, Text] | None = None
) -> KeptType:
    return KeptType(
        reason,
        ref,
        attributes or {"Id": "{ref}"},
        required=tuple(required.split()),
        replaces=frozenset(replaces.split()),
    )


KEPT_NETWORK_TYPES: Mapping[str, KeptType] = {
    "AWS::EC2::NatGateway": _kept(
        _ROUTES,
        "nat-{hex}",
        replaces="AllocationId ConnectivityType PrivateIpAddress SubnetId VpcId",
        attributes={"NatGatewayId": "{ref}"},
    ),
    "AWS::EC2::EgressOnlyInternetGateway": _kept(_ROUTES, "eigw-{hex}", "VpcId", "VpcId"),
    "AWS::EC2::VPNGateway": _kept(
        _ROUTES, "vgw-{hex}", "Type", "AmazonSideAsn Type", attributes={"VPNGatewayId": "{ref}"}
    ),
    "AWS::EC2::VPCPeeringConnection": _kept(
        _ROUTES, "pcx-{hex}", "PeerVpcId VpcId", "PeerOwnerId PeerRegion PeerRoleArn PeerVpcId VpcId"
    ),
    "AWS::EC2::NetworkInterface": _kept(
        _ADDRESSES,
        "eni-{hex}",
        "SubnetId",
        "InterfaceType PrivateIpAddress SubnetId",
        {"Id": "{ref}", "PrimaryPrivateIpAddress": "127.0.0.1"},
    ),
    "AWS::EC2::EIPAssociation": _kept(
        _ADDRESSES,
        "eipassoc-{hex}",
        replaces="AllocationId EIP InstanceId NetworkInterfaceId PrivateIpAddress",
    ),
    "AWS::EC2::VPCCidrBlock": _kept(
        _ADDRESSES, "vpc-cidr-assoc-{hex}", "VpcId", "AmazonProvidedIpv6CidrBlock CidrBlock Ipv6CidrBlock VpcId"
    ),
    "AWS::EC2::SubnetCidrBlock": _kept(_ADDRESSES, "subnet-cidr-assoc-{hex}", "SubnetId", "Ipv6CidrBlock SubnetId"),
    "AWS::EC2::DHCPOptions": _kept(
        _ADDRESSES,
        "dopt-{hex}",
        replaces="DomainName DomainNameServers NetbiosNameServers NetbiosNodeType NtpServers",
        attributes={"DhcpOptionsId": "{ref}"},
    ),
    "AWS::EC2::VPCDHCPOptionsAssociation": _kept(
        _ADDRESSES, "{DhcpOptionsId}|{VpcId}", "DhcpOptionsId VpcId", "DhcpOptionsId VpcId"
    ),
    "AWS::EC2::NetworkAcl": _kept(_FILTERS, "acl-{hex}", "VpcId", "VpcId"),
    "AWS::EC2::NetworkAclEntry": _kept(
        _FILTERS, "{name}", "NetworkAclId Protocol RuleAction RuleNumber", "Egress NetworkAclId RuleNumber"
    ),
    "AWS::EC2::SubnetNetworkAclAssociation": _kept(
        _FILTERS,
        "aclassoc-{hex}",
        "NetworkAclId SubnetId",
        "NetworkAclId SubnetId",
        {"AssociationId": "{ref}"},
    ),
    "AWS::EC2::FlowLog": _kept(
        "kept: packets are not logged; the access log of a load balancer is `pipeline balancer log`",
        "fl-{hex}",
        "ResourceId ResourceType",
        "LogDestination LogDestinationType LogFormat LogGroupName ResourceId ResourceType TrafficType",
    ),
    "AWS::EC2::VPCEndpointServicePermissions": _kept(_ENDPOINTS, "{ServiceId}", "ServiceId", "ServiceId"),
}
