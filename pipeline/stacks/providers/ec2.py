"""EC2's operations as providers call them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from pipeline.aws.errors import AwsError
from pipeline.aws.service import Call, Operation
from pipeline.network.attached import Interfaces
from pipeline.network.ec2 import ec2_service
from pipeline.network.kinds import Kind, new_id
from pipeline.network.state import Resource, State
from pipeline.network.store import NetworkStore
from pipeline.network.vpc_endpoints import VpcEndpoints
from pipeline.stacks.provider import Properties, StackContext


class Tag(Properties):
    """A tag."""

    key: str
    value: str


@dataclass(frozen=True)
class Ec2:
    """EC2's API over the networks of a home, for the owner of a stack."""

    store: NetworkStore
    interfaces: Interfaces
    context: StackContext
    endpoints: VpcEndpoints

    def __call__(self, operation: str, token: str = "", /, **parameters: Any) -> Mapping[str, Any]:
        """Carry out an operation. Parameters that are None are left out. What it makes has the id of the token."""
        given = {name: value for name, value in parameters.items() if value is not None}
        call = Call(self.context.owner, self.context.region, given, account=self.context.account, token=token)
        return self._operations[operation](call)

    def delete(self, operation: str, **parameters: Any) -> None:
        """Carry out an operation. Does nothing if what it deletes does not exist."""
        try:
            self(operation, **parameters)
        except AwsError as error:
            if not error.code.endswith(".NotFound"):
                raise

    def state(self) -> State:
        """Return all networks as they are now."""
        return self.store.read(self.context.owner)

    def find(self, kind: Kind, resource_id: str) -> Resource | None:
        """Return a resource, or None."""
        return self.state().find(self.context.owner, kind, resource_id)

    def made(self, kind: Kind, token: str) -> str | None:
        """Return the id of what was made with a token. None if it does not exist."""
        found = self.find(kind, new_id(kind.prefix, token))
        return found.id if found else None

    def specify(self, kind: Kind, tags: Sequence[Tag]) -> list[dict[str, Any]] | None:
        """Return the tags of a stack and of its resource, as a request has them."""
        found = self.tags(tags)
        listed = [{"Key": key, "Value": value} for key, value in found.items()]
        return [{"ResourceType": kind.label, "Tags": listed}] if listed else None

    def tags(self, tags: Sequence[Tag]) -> dict[str, str]:
        """Return the tags of the stack, and those of its resource."""
        return {**self.context.tags, **{tag.key: tag.value for tag in tags}}

    def set_tags(self, resource: Resource, tags: Sequence[Tag]) -> None:
        """Give a resource these tags and no others."""
        self._replace_tags(resource.id, resource.tags, self.tags(tags))

    def set_endpoint_tags(self, resource_id: str, properties: Mapping[str, Any]) -> None:
        """Give an endpoint or an endpoint service the tags of the stack and of its properties, and no others."""
        if found := self.endpoints.tags(self.context.owner).get(resource_id):
            own = {str(tag["Key"]): str(tag["Value"]) for tag in properties.get("Tags") or ()}
            self._replace_tags(resource_id, found.tags, {**self.context.tags, **own})

    def _replace_tags(self, resource_id: str, present: Mapping[str, str], wanted: Mapping[str, str]) -> None:
        if gone := [{"Key": key} for key in present if key not in wanted]:
            self("DeleteTags", Resources=[resource_id], Tags=gone)
        if wanted != present and wanted:
            listed = [{"Key": key, "Value": value} for key, value in wanted.items()]
            self("CreateTags", Resources=[resource_id], Tags=listed)

    @cached_property
    def _operations(self) -> Mapping[str, Operation]:
        return ec2_service(self.store, self.interfaces, lambda _: (), self.endpoints).operations
