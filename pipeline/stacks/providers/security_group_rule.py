"""AWS::EC2::SecurityGroupIngress and AWS::EC2::SecurityGroupEgress."""

from __future__ import annotations

from typing import ClassVar, Generic, TypeVar

from pipeline.base.errors import ConfigError
from pipeline.network.kinds import Kind
from pipeline.network.rules import Rule
from pipeline.network.state import Resource
from pipeline.network.state import State as NetworkState
from pipeline.stacks.provider import Pending, Properties, State
from pipeline.stacks.providers.ec2 import Ec2
from pipeline.stacks.providers.security_group import REASON, shown_rule
from pipeline.stacks.providers.security_group_rules import EgressProperties, IngressProperties, rule_id


class IngressRuleProperties(IngressProperties):
    """A rule for what comes into a group."""

    group_id: str


class EgressRuleProperties(EgressProperties):
    """A rule for what goes out of a group."""

    group_id: str


P = TypeVar("P", IngressRuleProperties, EgressRuleProperties)


class _SecurityGroupRule(Generic[P]):
    """Adds rules to security groups. `Ref` is the id of the rule."""

    kind: ClassVar[str]
    properties: type[P]
    replaces: frozenset[str]

    def __init__(self, ec2: Ec2) -> None:
        self._ec2 = ec2

    def create(self, token: str, properties: P) -> State | Pending:
        """Add a rule."""
        properties.rules(egress=self.kind == "Egress")
        if self.find(token) is None:
            self._ec2(
                f"AuthorizeSecurityGroup{self.kind}",
                token,
                GroupId=properties.group_id,
                IpPermissions=[properties.permission()],
            )
        found = self.read(rule_id(token))
        assert found is not None
        return found

    def find(self, token: str) -> str | None:
        """Find a rule by the id that follows from the token."""
        found = self._found(rule_id(token))
        return rule_id(token) if found else None

    def read(self, physical_id: str) -> State | None:
        """Return a rule."""
        found = self._found(physical_id)
        if found is None:
            return None
        group, rule = found
        return State(physical_id, {"Id": physical_id}, {"GroupId": group.id, **shown_rule(rule)}, REASON)

    def update(self, physical_id: str, before: P, after: P) -> State | Pending:  # noqa: ARG002
        """Change the description, which is all that can be changed."""
        found = self._found(physical_id)
        if found is None:
            raise ConfigError(f"{physical_id} does not exist")
        self._describe(found[0], physical_id, after.description)
        state = self.read(physical_id)
        assert state is not None
        return state

    def delete(self, physical_id: str) -> Pending | None:
        """Remove a rule."""
        if found := self._found(physical_id):
            self._ec2.delete(f"RevokeSecurityGroup{self.kind}", GroupId=found[0].id, SecurityGroupRuleIds=[physical_id])
        return None

    def _describe(self, group: Resource, physical_id: str, text: str | None) -> None:
        def described(rule: Rule) -> Rule:
            if rule["SecurityGroupRuleId"] != physical_id:
                return rule
            others = {name: value for name, value in rule.items() if name != "Description"}
            return {**others, "Description": text} if text else others

        def change(state: NetworkState) -> tuple[NetworkState, None]:
            known = state.get(group.owner, Kind.SECURITY_GROUP, group.id)
            return state.put(known.with_data(Rules=[described(each) for each in known.data["Rules"]])), None

        self._ec2.store.change(group.owner, change)

    def _found(self, physical_id: str) -> tuple[Resource, Rule] | None:
        groups = self._ec2.state().all(self._ec2.context.owner, Kind.SECURITY_GROUP)
        rules = ((group, rule) for group in groups for rule in group.data["Rules"])
        return next((each for each in rules if each[1]["SecurityGroupRuleId"] == physical_id), None)


def _all_but_description(properties: type[Properties]) -> frozenset[str]:
    return frozenset(str(field.alias) for field in properties.model_fields.values()) - {"Description"}


class SecurityGroupIngress(_SecurityGroupRule[IngressRuleProperties]):
    """Adds rules for what comes in."""

    kind = "Ingress"
    properties = IngressRuleProperties
    replaces = _all_but_description(IngressRuleProperties)


class SecurityGroupEgress(_SecurityGroupRule[EgressRuleProperties]):
    """Adds rules for what goes out."""

    kind = "Egress"
    properties = EgressRuleProperties
    replaces = _all_but_description(EgressRuleProperties)
