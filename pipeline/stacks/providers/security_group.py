"""AWS::EC2::SecurityGroup."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from pydantic import field_validator

from pipeline.network.defaults import default_vpc_id
from pipeline.network.kinds import Kind, fixed_id
from pipeline.network.records import ANYWHERE
from pipeline.network.rules import Rule, same_rule
from pipeline.network.state import Resource
from pipeline.stacks.provider import short_name
from pipeline.stacks.providers.ec2 import Ec2
from pipeline.stacks.providers.network_resource import NetworkResource, TaggedProperties
from pipeline.stacks.providers.security_group_rules import (
    EgressProperties,
    IngressProperties,
    RuleProperties,
    rule_id,
)

REASON = "kept: security groups filter nothing; the firewall of this machine decides"
_MAX_NAME = 255
# What a group has for outgoing traffic before it has rules of its own.
_EVERYTHING = EgressProperties(ip_protocol="-1", cidr_ip=ANYWHERE)


class SecurityGroupProperties(TaggedProperties):
    """The properties of a security group."""

    group_description: str
    group_name: str | None = None
    vpc_id: str | None = None
    security_group_ingress: tuple[IngressProperties, ...] = ()
    security_group_egress: tuple[EgressProperties, ...] = ()

    @field_validator("security_group_ingress", "security_group_egress", mode="before")
    @classmethod
    def _list(cls, value: Any) -> Any:
        # Templates may write one rule without a list.
        return [value] if isinstance(value, dict) else value


class SecurityGroup(NetworkResource[SecurityGroupProperties]):
    """Makes security groups with their rules. They filter nothing."""

    kind = Kind.SECURITY_GROUP
    reason = REASON
    deletes = ("DeleteSecurityGroup", "GroupId")
    properties = SecurityGroupProperties
    replaces = frozenset({"GroupDescription", "GroupName", "VpcId"})

    def _make(self, token: str, properties: SecurityGroupProperties) -> None:
        self.ec2(
            "CreateSecurityGroup",
            token,
            GroupName=properties.group_name or short_name(token, _MAX_NAME),
            Description=properties.group_description,
            VpcId=properties.vpc_id or default_vpc_id(self.ec2.context.owner),
            TagSpecifications=self.ec2.specify(self.kind, properties.tags),
        )

    def _change(self, resource: Resource, before: SecurityGroupProperties, after: SecurityGroupProperties) -> None:
        had = before.security_group_egress or (_EVERYTHING,)
        wants = after.security_group_egress or (_EVERYTHING,)
        # A group has been made with the rule for everything, also if the template has others.
        change_rules(self.ec2, resource, [*had, _EVERYTHING], wants, egress=True)
        change_rules(self.ec2, resource, before.security_group_ingress, after.security_group_ingress, egress=False)

    def _attributes(self, resource: Resource) -> dict[str, Any]:
        return {"Id": resource.id, "GroupId": resource.id, "VpcId": resource.data["VpcId"]}

    def _shown(self, resource: Resource) -> dict[str, Any]:
        names = {"GroupDescription": "Description", "GroupName": "GroupName", "VpcId": "VpcId"}
        return {
            **{shown: resource.data[name] for shown, name in names.items()},
            "SecurityGroupIngress": shown_rules(resource, egress=False),
            "SecurityGroupEgress": shown_rules(resource, egress=True),
        }


def change_rules(
    ec2: Ec2, group: Resource, before: Sequence[RuleProperties], after: Sequence[RuleProperties], *, egress: bool
) -> None:
    """Remove the rules in `before` from a group, and add those in `after`. Others stay as they are."""
    kind = "Egress" if egress else "Ingress"
    present: list[Rule] = group.data["Rules"]
    wanted = [rule for each in after for rule in each.rules(egress=egress)]
    gone = [rule for each in before for rule in each.rules(egress=egress) if not _is_in(rule, wanted)]
    ids = [each["SecurityGroupRuleId"] for each in present if _is_in(each, gone)]
    if ids:
        ec2(f"RevokeSecurityGroup{kind}", GroupId=group.id, SecurityGroupRuleIds=ids)
    for each in after:
        (rule,) = each.rules(egress=egress)
        if not _is_in(rule, present):
            ec2(
                f"AuthorizeSecurityGroup{kind}",
                _token(group, rule),
                GroupId=group.id,
                IpPermissions=[each.permission()],
            )


def shown_rules(group: Resource, *, egress: bool) -> list[dict[str, Any]]:
    """Return a group's own rules as templates write them, without those of other resources."""
    rules: list[Rule] = group.data["Rules"]
    return [shown_rule(each) for each in rules if each["IsEgress"] is egress and _is_own(group, each)]


def shown_rule(rule: Rule) -> dict[str, Any]:
    """Return a rule as templates write it."""
    names = {"IpProtocol": "IpProtocol", "CidrIpv4": "CidrIp", "CidrIpv6": "CidrIpv6", "Description": "Description"}
    shown = {names[name]: value for name, value in rule.items() if name in names}
    if rule["IpProtocol"] != "-1":
        shown |= {"FromPort": rule["FromPort"], "ToPort": rule["ToPort"]}
    if peer := rule.get("ReferencedGroupInfo"):
        name = "DestinationSecurityGroupId" if rule["IsEgress"] else "SourceSecurityGroupId"
        shown[name] = peer["GroupId"]
    return shown


def _token(group: Resource, rule: Rule) -> str:
    """Return the token for a rule of the group's own properties, by which it is told from others."""
    named = {name: value for name, value in rule.items() if name not in ("SecurityGroupRuleId", "Description")}
    return f"{group.id}/{json.dumps(named, sort_keys=True)}"


def _is_own(group: Resource, rule: Rule) -> bool:
    return rule["SecurityGroupRuleId"] in (fixed_id("sgr", group.id, "out"), rule_id(_token(group, rule)))


def _is_in(rule: Rule, rules: Sequence[Rule]) -> bool:
    return any(same_rule(rule, each) for each in rules)
