"""The rules of security groups, and EC2's two ways to write them: one by one, and as permissions. Pure.

Penstock keeps the rules and does not enforce them. Each listener is open to everyone who reaches its address.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from ipaddress import ip_network
from typing import Any

from pipeline.aws.errors import AwsError

Rule = dict[str, Any]
_NAMES = {"1": "icmp", "6": "tcp", "17": "udp", "58": "icmpv6"}
# The members of a permission with its sources, of an item of these, and of a rule.
_SOURCES = (("IpRanges", "CidrIp", "CidrIpv4"), ("Ipv6Ranges", "CidrIpv6", "CidrIpv6"))
_MAX_PORT = 65535


def requested_rules(parameters: Mapping[str, Any], *, egress: bool) -> list[Rule]:
    """Return the rules of a request, without ids. Raises `AwsError` if one is invalid."""
    permissions = list(parameters.get("IpPermissions", ()))
    if "IpProtocol" in parameters:
        single = {key: parameters[key] for key in ("IpProtocol", "FromPort", "ToPort") if key in parameters}
        permissions.append({**single, "IpRanges": [{"CidrIp": parameters.get("CidrIp", "")}]})
    if not permissions:
        raise AwsError("MissingParameter", "The request must contain the parameter ipPermissions")
    return [{**rule, "IsEgress": egress} for permission in permissions for rule in _rules(permission)]


def same_rule(one: Rule, other: Rule) -> bool:
    """Return whether two rules let the same traffic through. Their ids and descriptions may differ."""
    return _key(one) == _key(other)


def described_permissions(account: str, rules: Sequence[Rule], *, egress: bool) -> list[dict[str, Any]]:
    """Return rules as permissions. Rules for the same protocol and ports are one permission."""
    found: dict[tuple[Any, ...], dict[str, Any]] = {}
    for rule in rules:
        if rule["IsEgress"] is egress:
            ports = {key: rule[key] for key in ("FromPort", "ToPort") if rule["IpProtocol"] != "-1"}
            key = (rule["IpProtocol"], *ports.values())
            permission = found.setdefault(key, _empty_permission(rule["IpProtocol"], ports))
            _add_source(account, permission, rule)
    return list(found.values())


def _empty_permission(protocol: str, ports: dict[str, int]) -> dict[str, Any]:
    sources: dict[str, Any] = {"IpRanges": [], "Ipv6Ranges": [], "PrefixListIds": [], "UserIdGroupPairs": []}
    return {"IpProtocol": protocol, **ports, **sources}


def _add_source(account: str, permission: dict[str, Any], rule: Rule) -> None:
    described = {"Description": rule["Description"]} if "Description" in rule else {}
    for member, name, rule_name in _SOURCES:
        if rule_name in rule:
            permission[member].append({name: rule[rule_name], **described})
    if "ReferencedGroupInfo" in rule:
        pair = {"GroupId": rule["ReferencedGroupInfo"]["GroupId"], "UserId": account}
        permission["UserIdGroupPairs"].append({**pair, **described})


def _rules(permission: Mapping[str, Any]) -> Iterator[Rule]:
    traffic = _traffic(permission)
    if permission.get("PrefixListIds"):
        raise AwsError("InvalidPrefixListID.NotFound", "There are no prefix lists here: use CIDR blocks")
    for member, name, rule_name in _SOURCES:
        for source in permission.get(member, ()):
            yield {**traffic, rule_name: _cidr(source.get(name, "")), **_description(source)}
    for pair in permission.get("UserIdGroupPairs", ()):
        if "GroupId" not in pair:
            raise AwsError("MissingParameter", "The request must contain the parameter groupId")
        yield {**traffic, "ReferencedGroupInfo": {"GroupId": pair["GroupId"]}, **_description(pair)}


def _description(source: Mapping[str, Any]) -> dict[str, str]:
    return {"Description": source["Description"]} if source.get("Description") else {}


def _traffic(permission: Mapping[str, Any]) -> Rule:
    text = str(permission.get("IpProtocol", "")).lower()
    protocol = _NAMES.get(text, text)
    if protocol not in (*_NAMES.values(), "-1") and not (protocol.isdecimal() and int(protocol) < 256):
        raise AwsError("InvalidParameterValue", f"Invalid value '{text}' for IP protocol. Unknown protocol.")
    start, end = permission.get("FromPort"), permission.get("ToPort")
    if protocol in ("tcp", "udp"):
        if start is None or end is None:
            text = "Invalid value 'Must specify both from and to ports with TCP/UDP.' for portRange."
            raise AwsError("InvalidParameterValue", text)
        if not 0 <= start <= end <= _MAX_PORT:
            raise AwsError("InvalidParameterValue", f"Invalid value '{start}-{end}' for portRange.")
    is_all = protocol == "-1"
    return {
        "IpProtocol": protocol,
        "FromPort": -1 if is_all or start is None else start,
        "ToPort": -1 if is_all or end is None else end,
    }


def _cidr(text: str) -> str:
    try:
        return str(ip_network(text))
    except ValueError:
        raise AwsError("InvalidParameterValue", f"CIDR block {text} is malformed") from None


def _key(rule: Rule) -> tuple[Any, ...]:
    group = rule.get("ReferencedGroupInfo", {}).get("GroupId")
    names = ("IsEgress", "IpProtocol", "FromPort", "ToPort", "CidrIpv4", "CidrIpv6")
    return (*(rule.get(name) for name in names), group)
