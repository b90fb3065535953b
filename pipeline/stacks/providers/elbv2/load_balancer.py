"""AWS::ElasticLoadBalancingV2::LoadBalancer."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from pipeline.stacks.provider import Pending, Properties, State, short_name
from pipeline.stacks.providers.elbv2.attributes import set_attributes, set_tags, shown_attributes
from pipeline.stacks.providers.elbv2.properties import KeyValue, listed, pairs, parameters
from pipeline.stacks.providers.elbv2.resource import Elbv2Resource, described

_MAX_NAME = 32
# These are set by operations of their own.
_LATER = ("LoadBalancerAttributes", "MinimumLoadBalancerCapacity", "Tags")


class SubnetMapping(Properties):
    """A subnet, and an address for the node in it."""

    subnet_id: str
    allocation_id: str | None = None
    private_ipv4_address: str | None = Field(default=None, alias="PrivateIPv4Address")
    ipv6_address: str | None = Field(default=None, alias="IPv6Address")
    source_nat_ipv6_prefix: str | None = None


class Capacity(Properties):
    """The least capacity."""

    capacity_units: int


class LoadBalancerProperties(Properties):
    """The properties of a load balancer."""

    name: str | None = None
    type: Literal["application", "network", "gateway"] = "application"
    scheme: Literal["internet-facing", "internal"] | None = None
    ip_address_type: Literal["ipv4", "dualstack", "dualstack-without-public-ipv4"] | None = None
    subnets: list[str] = Field(default_factory=list)
    subnet_mappings: list[SubnetMapping] = Field(default_factory=list)
    security_groups: list[str] = Field(default_factory=list)
    load_balancer_attributes: tuple[KeyValue, ...] = ()
    tags: tuple[KeyValue, ...] = ()
    minimum_load_balancer_capacity: Capacity | None = None
    enable_prefix_for_ipv6_source_nat: Literal["on", "off"] | None = None
    enforce_security_group_inbound_rules_on_private_link_traffic: Literal["on", "off"] | None = None


class LoadBalancer(Elbv2Resource[LoadBalancerProperties]):
    """Makes load balancers."""

    kind = "load_balancers"
    noun = "LoadBalancer"
    properties = LoadBalancerProperties
    replaces = frozenset({"Name", "Scheme", "Type"})

    def _make(self, token: str, properties: LoadBalancerProperties) -> str:
        made = self.elbv2(
            "CreateLoadBalancer",
            token,
            **{"Name": resource_name(token), **parameters(properties, *_LATER)},
            Tags=listed(self.elbv2.tags(pairs(properties.tags))),
        )
        return str(made["LoadBalancers"][0]["LoadBalancerArn"])

    def _complete(self, arn: str, properties: LoadBalancerProperties) -> None:
        self._set(arn, properties, properties)

    def _change(self, arn: str, before: LoadBalancerProperties, after: LoadBalancerProperties) -> Pending | None:
        given = parameters(after)
        shown = described(self.elbv2, self.noun, arn)
        places = {name: given[name] for name in ("Subnets", "SubnetMappings") if given.get(name)}
        if places:
            self.elbv2("SetSubnets", LoadBalancerArn=arn, **places)
        if shown.get("SecurityGroups", []) != after.security_groups:
            self.elbv2("SetSecurityGroups", LoadBalancerArn=arn, SecurityGroups=after.security_groups)
        address_type = after.ip_address_type or "ipv4"
        if shown["IpAddressType"] != address_type:
            self.elbv2("SetIpAddressType", LoadBalancerArn=arn, IpAddressType=address_type)
        self._set(arn, before, after)
        return None

    def _set(self, arn: str, before: LoadBalancerProperties, after: LoadBalancerProperties) -> None:
        resource = self.elbv2.view().load_balancer(arn)
        set_attributes(
            self.elbv2, self.noun, arn, before.load_balancer_attributes, after.load_balancer_attributes, resource
        )
        if capacity := after.minimum_load_balancer_capacity:
            units = {"CapacityUnits": capacity.capacity_units}
            self.elbv2("ModifyCapacityReservation", LoadBalancerArn=arn, MinimumLoadBalancerCapacity=units)
        set_tags(self.elbv2, arn, after.tags)

    def _state(self, arn: str) -> State:
        shown = described(self.elbv2, self.noun, arn)
        resource = self.elbv2.view().load_balancer(arn)
        zones = shown["AvailabilityZones"]
        attributes = {
            "LoadBalancerArn": arn,
            "DNSName": shown.get("DNSName"),
            "CanonicalHostedZoneID": shown.get("CanonicalHostedZoneId"),
            "LoadBalancerFullName": arn.partition("loadbalancer/")[2],
            "LoadBalancerName": shown["LoadBalancerName"],
            "SecurityGroups": shown.get("SecurityGroups", []),
        }
        properties: dict[str, Any] = {
            "Name": shown["LoadBalancerName"],
            "Type": shown["Type"],
            "Scheme": shown.get("Scheme"),
            "IpAddressType": shown["IpAddressType"],
            "Subnets": [zone["SubnetId"] for zone in zones if "SubnetId" in zone],
            "SubnetMappings": [_mapping(zone) for zone in zones if "SubnetId" in zone],
            "SecurityGroups": shown.get("SecurityGroups", []),
            "LoadBalancerAttributes": shown_attributes(self.elbv2, self.noun, arn),
            "Tags": listed(resource.tags),
        }
        declared = resource.settings.zones or {}
        if not isinstance(declared, dict):
            return State(arn, _present(attributes), _present(properties), f"it is in the zones {', '.join(declared)}")
        addresses = ", ".join(str(zone.address) for zone in declared.values())
        return State(arn, attributes, properties, f"its nodes have the addresses {addresses}")


def resource_name(token: str) -> str:
    """Return the name of a load balancer or a target group for which a template gives none."""
    # A name may not begin with that, as AWS's own names of internal load balancers do.
    return short_name(token.removeprefix("internal-"), _MAX_NAME).replace("--", "-")


def _present(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _mapping(zone: dict[str, Any]) -> dict[str, str]:
    found = {"SubnetId": zone["SubnetId"]}
    for address in zone.get("LoadBalancerAddresses", ()):
        found |= {name: address[name] for name in ("AllocationId",) if name in address}
    return found
