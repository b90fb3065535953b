"""What exists in the networks of an owner, for the parameters and rules of templates."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

from pipeline.network.kinds import Kind
from pipeline.network.state import Resource, State
from pipeline.network.store import NetworkStore

_KINDS = {
    "AWS::EC2::SecurityGroup::Id": Kind.SECURITY_GROUP,
    "AWS::EC2::Subnet::Id": Kind.SUBNET,
    "AWS::EC2::VPC::Id": Kind.VPC,
}
_TAG = "Tags."


class ExistingNetwork:
    """The VPCs, subnets and security groups of an owner, as they are at the first question.

    It knows of nothing else, so any image, key pair or zone is accepted.
    """

    def __init__(self, store: NetworkStore, owner: str) -> None:
        self._store = store
        self._owner = owner

    def all(self, type_: str) -> Sequence[str] | None:
        """Return the values of a parameter's type. None if nothing is known of it."""
        kind = _KINDS.get(type_)
        return None if kind is None else [each.id for each in self._state.all(self._owner, kind)]

    def attribute(self, type_: str, value: str, attribute: str) -> str:
        """Return an attribute of CloudFormation's rules, or a tag as `Tags.KEY`. Raises `KeyError`."""
        kind = _KINDS[type_]
        found = self._state.find(self._owner, kind, value)
        if found is None:
            raise KeyError(value)
        if attribute.startswith(_TAG):
            return found.tags[attribute.removeprefix(_TAG)]
        return self._vpc_attribute(found, attribute) if kind is Kind.VPC else str(found.data[attribute])

    def _vpc_attribute(self, vpc: Resource, attribute: str) -> str:
        if attribute != "DefaultSecurityGroup":
            raise KeyError(attribute)
        groups = self._state.all(self._owner, Kind.SECURITY_GROUP, lambda data: data["VpcId"] == vpc.id)
        return next(each.id for each in groups if each.data["GroupName"] == "default")

    @cached_property
    def _state(self) -> State:
        return self._store.read(self._owner)
