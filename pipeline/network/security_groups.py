"""EC2's operations on security groups. Each is a pure function from a call and the state to the next state."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pipeline.aws.errors import AwsError
from pipeline.aws.service import Call
from pipeline.network.defaults import default_vpc_id
from pipeline.network.describe import SECURITY_GROUPS, describe_security_group
from pipeline.network.filters import matching, page
from pipeline.network.kinds import Kind, new_id
from pipeline.network.records import security_group
from pipeline.network.rules import Rule, requested_rules, same_rule
from pipeline.network.state import Resource, State
from pipeline.network.tags import tag_list, tags_of

_RULE_PATHS = {"group-id": "GroupId", "security-group-rule-id": "SecurityGroupRuleId"}
Result = dict[str, Any]


def create_security_group(call: Call, state: State) -> tuple[State, Result]:
    """Make a security group, in the default VPC unless another one is given."""
    vpc_id = call.parameters.get("VpcId", default_vpc_id(call.owner))
    state.get(call.owner, Kind.VPC, vpc_id)
    name = call.parameters["GroupName"]
    if name.startswith("sg-"):
        text = f"Invalid security group name. Group names may not be in the format sg-*. Got {name}"
        raise AwsError("InvalidParameterValue", text)
    if _named(call, state, name, vpc_id):
        text = f"The security group '{name}' already exists for VPC '{vpc_id}'"
        raise AwsError("InvalidGroup.Duplicate", text)
    tags = tags_of(call, Kind.SECURITY_GROUP.label)
    group_id = new_id(Kind.SECURITY_GROUP.prefix, call.token)
    made = security_group(group_id, call.owner, vpc_id, name, call.parameters["Description"], tags)
    described = describe_security_group(call, made)
    return state.put(made), {key: described[key] for key in ("GroupId", "Tags", "SecurityGroupArn")}


def delete_security_group(call: Call, state: State, used: frozenset[str]) -> tuple[State, Result]:
    """Delete a security group. `used`: the groups of load balancers."""
    found = _group(call, state)
    if found.data["GroupName"] == "default":
        text = f'the specified group: "{found.id}" name: "default" cannot be deleted by a user'
        raise AwsError("CannotDelete", text)
    others = [each for each in state.all(call.owner, Kind.SECURITY_GROUP) if each.id != found.id]
    if found.id in used or any(found.id in _referenced(each) for each in others):
        raise AwsError("DependencyViolation", f"resource {found.id} has a dependent object")
    return state.remove(found), {"Return": True, "GroupId": found.id}


def describe_security_groups(call: Call, state: State) -> Result:
    """Describe security groups. Names are those of groups in the default VPC."""
    names = call.parameters.get("GroupNames", ())
    if not names:
        return SECURITY_GROUPS(call, state)
    ids = [*call.parameters.get("GroupIds", ()), *(_default_named(call, state, name).id for name in names)]
    parameters = {**call.parameters, "GroupIds": ids}
    return SECURITY_GROUPS(Call(call.owner, call.region, parameters, call.request_id, call.account), state)


def describe_rules(call: Call, state: State) -> Result:
    """Describe the rules of security groups, one by one."""
    groups = state.all(call.owner, Kind.SECURITY_GROUP)
    found = [_described(call, group, rule) for group in groups for rule in group.data["Rules"]]
    if wanted := call.parameters.get("SecurityGroupRuleIds", ()):
        found = [each for each in found if each["SecurityGroupRuleId"] in wanted]
        _check_rules_exist(wanted, found)
    return page(matching(found, call.parameters.get("Filters", ()), _RULE_PATHS), call.parameters, "SecurityGroupRules")


def authorize_ingress(call: Call, state: State) -> tuple[State, Result]:
    """Add rules for what comes in."""
    return _authorize(call, state, egress=False)


def authorize_egress(call: Call, state: State) -> tuple[State, Result]:
    """Add rules for what goes out."""
    return _authorize(call, state, egress=True)


def revoke_ingress(call: Call, state: State) -> tuple[State, Result]:
    """Remove rules for what comes in."""
    return _revoke(call, state, egress=False)


def revoke_egress(call: Call, state: State) -> tuple[State, Result]:
    """Remove rules for what goes out."""
    return _revoke(call, state, egress=True)


def _authorize(call: Call, state: State, *, egress: bool) -> tuple[State, Result]:
    group = _group(call, state)
    rules: list[Rule] = list(group.data["Rules"])
    tags = tags_of(call, "security-group-rule")
    added = []
    for number, rule in enumerate(requested_rules(call.parameters, egress=egress)):
        if "ReferencedGroupInfo" in rule:
            state.get(call.owner, Kind.SECURITY_GROUP, rule["ReferencedGroupInfo"]["GroupId"])
        if any(same_rule(rule, each) for each in rules):
            text = f'the specified rule "{_shown(rule)}" already exists'
            raise AwsError("InvalidPermission.Duplicate", text)
        rule_id = new_id("sgr", call.token and f"{call.token}/{number}")
        rules.append({"SecurityGroupRuleId": rule_id, **rule, **({"Tags": tag_list(tags)} if tags else {})})
        added.append(_described(call, group, rules[-1]))
    return state.put(group.with_data(Rules=rules)), {"Return": True, "SecurityGroupRules": added}


def _revoke(call: Call, state: State, *, egress: bool) -> tuple[State, Result]:
    group = _group(call, state)
    rules: list[Rule] = group.data["Rules"]
    if wanted := call.parameters.get("SecurityGroupRuleIds", ()):
        gone = [each for each in rules if each["SecurityGroupRuleId"] in wanted and each["IsEgress"] is egress]
        _check_rules_exist(wanted, gone)
    else:
        asked = requested_rules(call.parameters, egress=egress)
        gone = [each for each in rules if any(same_rule(each, other) for other in asked)]
        if len(gone) < len(asked):
            text = "The specified rule does not exist in this security group."
            raise AwsError("InvalidPermission.NotFound", text)
    kept = [each for each in rules if each not in gone]
    revoked = [
        {("ReferencedGroupId" if key == "ReferencedGroupInfo" else key): value for key, value in each.items()}
        for each in gone
    ]
    for each in revoked:
        each.pop("Tags", None)
        each["GroupId"] = group.id
        if "ReferencedGroupId" in each:
            each["ReferencedGroupId"] = each["ReferencedGroupId"]["GroupId"]
    return state.put(group.with_data(Rules=kept)), {"Return": True, "RevokedSecurityGroupRules": revoked}


def _group(call: Call, state: State) -> Resource:
    if "GroupId" in call.parameters:
        return state.get(call.owner, Kind.SECURITY_GROUP, call.parameters["GroupId"])
    if "GroupName" in call.parameters:
        return _default_named(call, state, call.parameters["GroupName"])
    raise AwsError("MissingParameter", "The request must contain the parameter groupName or groupId")


def _named(call: Call, state: State, name: str, vpc_id: str) -> list[Resource]:
    return state.all(
        call.owner, Kind.SECURITY_GROUP, lambda data: data["GroupName"] == name and data["VpcId"] == vpc_id
    )


def _default_named(call: Call, state: State, name: str) -> Resource:
    found = _named(call, state, name, vpc_id := default_vpc_id(call.owner))
    if not found:
        text = f"The security group '{name}' does not exist in default VPC '{vpc_id}'"
        raise AwsError("InvalidGroup.NotFound", text)
    return found[0]


def _referenced(group: Resource) -> set[str]:
    return {each["ReferencedGroupInfo"]["GroupId"] for each in group.data["Rules"] if "ReferencedGroupInfo" in each}


def _described(call: Call, group: Resource, rule: Rule) -> Rule:
    arn = f"arn:aws:ec2:{call.region}:{call.account}:security-group-rule/{rule['SecurityGroupRuleId']}"
    described = {**rule, "GroupId": group.id, "GroupOwnerId": call.account, "SecurityGroupRuleArn": arn}
    if "ReferencedGroupInfo" in rule:
        described["ReferencedGroupInfo"] = {**rule["ReferencedGroupInfo"], "UserId": call.account}
    return {"Tags": [], **described}


def _check_rules_exist(wanted: Sequence[str], found: Sequence[Rule]) -> None:
    ids = {each["SecurityGroupRuleId"] for each in found}
    for each in wanted:
        if each not in ids:
            raise AwsError("InvalidSecurityGroupRuleId.NotFound", f"The security group rule ID '{each}' does not exist")


def _shown(rule: Rule) -> str:
    peer = rule.get("CidrIpv4") or rule.get("CidrIpv6") or rule["ReferencedGroupInfo"]["GroupId"]
    return f"peer: {peer}, {rule['IpProtocol']}, from port: {rule['FromPort']}, to port: {rule['ToPort']}, ALLOW"
