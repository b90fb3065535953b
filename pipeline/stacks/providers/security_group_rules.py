"""The rules of security groups as templates write them."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

from pydantic import Field

from pipeline.base.errors import ConfigError
from pipeline.network.kinds import new_id
from pipeline.network.rules import Rule, requested_rules
from pipeline.stacks.provider import Properties


def rule_id(token: str) -> str:
    """Return the id of the rule that is made with a token."""
    return new_id("sgr", f"{token}/0")


class RuleProperties(Properties):
    """What all rules have."""

    ip_protocol: str
    from_port: int | None = None
    to_port: int | None = None
    cidr_ip: str | None = None
    cidr_ipv6: str | None = None
    description: str | None = None

    @abstractmethod
    def peer(self) -> tuple[str | None, str | None]:
        """Return the id of the group and of the prefix list for whose members the rule is."""

    def permission(self) -> dict[str, Any]:
        """Return the rule as EC2's operations want it."""
        described = {"Description": self.description} if self.description else {}
        group, prefix_list = self.peer()
        ports = {"FromPort": self.from_port, "ToPort": self.to_port}
        sources = {
            "IpRanges": [{"CidrIp": self.cidr_ip, **described}] if self.cidr_ip else None,
            "Ipv6Ranges": [{"CidrIpv6": self.cidr_ipv6, **described}] if self.cidr_ipv6 else None,
            "UserIdGroupPairs": [{"GroupId": group, **described}] if group else None,
            "PrefixListIds": [{"PrefixListId": prefix_list}] if prefix_list else None,
        }
        given = {name: value for name, value in {**ports, **sources}.items() if value is not None}
        return {"IpProtocol": self.ip_protocol, **given}

    def rules(self, *, egress: bool) -> list[Rule]:
        """Return the rule as EC2 keeps it. Raises `AwsError` if it is invalid, and `ConfigError` without one source."""
        found = requested_rules({"IpPermissions": [self.permission()]}, egress=egress)
        if len(found) != 1:
            raise ConfigError("a rule needs exactly one source: CidrIp, CidrIpv6 or a security group")
        return found


class IngressProperties(RuleProperties):
    """A rule for what comes in."""

    source_security_group_id: str | None = None
    source_security_group_name: str | None = None
    source_security_group_owner_id: str | None = None
    source_prefix_list_id: str | None = None

    def peer(self) -> tuple[str | None, str | None]:
        """Return the source."""
        return self.source_security_group_id, self.source_prefix_list_id


class EgressProperties(RuleProperties):
    """A rule for what goes out."""

    destination_security_group_id: str | None = None
    destination_prefix_list_id: str | None = Field(default=None)

    def peer(self) -> tuple[str | None, str | None]:
        """Return the destination."""
        return self.destination_security_group_id, self.destination_prefix_list_id
