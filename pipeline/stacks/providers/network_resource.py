"""What the providers of EC2's types have in common: resources of one kind that EC2's operations make."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar, Generic, TypeVar

from pipeline.base.errors import ConfigError
from pipeline.network.kinds import Kind
from pipeline.network.state import Resource
from pipeline.stacks.provider import Pending, Properties, State
from pipeline.stacks.providers.ec2 import Ec2, Tag

P = TypeVar("P", bound="TaggedProperties")


class TaggedProperties(Properties):
    """Properties with tags."""

    tags: tuple[Tag, ...] = ()


class NetworkResource(ABC, Generic[P]):
    """Makes resources of one kind. A type says what is made, changed and shown."""

    kind: ClassVar[Kind]
    reason: ClassVar[str] = ""
    deletes: ClassVar[tuple[str, str]]
    """The operation that deletes a resource, and its parameter."""
    properties: type[P]
    replaces: frozenset[str] = frozenset()

    def __init__(self, ec2: Ec2) -> None:
        self.ec2 = ec2

    def create(self, token: str, properties: P) -> State | Pending:
        """Make a resource."""
        found = self.find(token)
        if found is None:
            self._make(token, properties)
            found = self.find(token)
        assert found is not None
        return self._settled(found, properties, properties)

    def find(self, token: str) -> str | None:
        """Find a resource by the id that follows from the token."""
        return self.ec2.made(self.kind, token)

    def read(self, physical_id: str) -> State | None:
        """Return a resource as EC2 describes it."""
        found = self._resource(physical_id)
        return self._state(found) if found else None

    def update(self, physical_id: str, before: P, after: P) -> State | Pending:
        """Change what can be changed."""
        if self._resource(physical_id) is None:
            raise ConfigError(f"{physical_id} does not exist")
        return self._settled(physical_id, before, after)

    def delete(self, physical_id: str) -> Pending | None:
        """Delete a resource."""
        found = self._resource(physical_id)
        if found is not None:
            operation, parameter = self.deletes
            self.ec2.delete(operation, **{parameter: found.id})
        return None

    def _settled(self, physical_id: str, before: P, after: P) -> State:
        found = self._resource(physical_id)
        assert found is not None
        self._change(found, before, after)
        self.ec2.set_tags(found, after.tags)
        state = self.read(physical_id)
        assert state is not None
        return state

    def _resource(self, physical_id: str) -> Resource | None:
        return self.ec2.find(self.kind, physical_id)

    def _state(self, resource: Resource) -> State:
        shown = self._shown(resource)
        if resource.tags:
            shown["Tags"] = [{"Key": key, "Value": value} for key, value in resource.tags.items()]
        return State(resource.id, self._attributes(resource), shown, self._reason(resource))

    def _reason(self, resource: Resource) -> str:  # noqa: ARG002
        """Return what a resource means on one machine."""
        return self.reason

    @abstractmethod
    def _make(self, token: str, properties: P) -> None:
        """Make a resource with the id of the token."""

    def _change(self, resource: Resource, before: P, after: P) -> None:
        """Change what is not given when a resource is made."""

    @abstractmethod
    def _attributes(self, resource: Resource) -> dict[str, Any]:
        """Return the attributes for `Fn::GetAtt`."""

    @abstractmethod
    def _shown(self, resource: Resource) -> dict[str, Any]:
        """Return the properties that a resource has, apart from its tags."""
