"""All networks of a home as one frozen value."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

from pipeline.aws.errors import AwsError
from pipeline.network.kinds import Kind


@dataclass(frozen=True)
class Resource:
    """A VPC, a subnet, a security group and so on.

    `data` is what EC2 describes of it, in botocore's names, without what follows from the call: `OwnerId`, `Tags` and
    ARNs. It contains only what JSON can express.
    """

    kind: Kind
    id: str
    owner: str
    data: Mapping[str, Any]
    tags: Mapping[str, str]

    def with_data(self, **changes: Any) -> Resource:
        """Return the resource with some members of `data` replaced."""
        return replace(self, data={**self.data, **changes})


@dataclass(frozen=True)
class State:
    """The resources of all owners, oldest first. Each owner sees and changes its own."""

    resources: Mapping[str, Resource]

    @classmethod
    def of(cls, resources: Iterable[Resource]) -> Self:
        """Return the state with some resources."""
        return cls({each.id: each for each in resources})

    def all(
        self, owner: str, kind: Kind, where: Callable[[Mapping[str, Any]], bool] = lambda _: True
    ) -> list[Resource]:
        """Return an owner's resources of a kind, oldest first."""
        found = self.resources.values()
        return [each for each in found if each.owner == owner and each.kind is kind and where(each.data)]

    def find(self, owner: str, kind: Kind, resource_id: str) -> Resource | None:
        """Return an owner's resource of a kind, or None."""
        found = self.resources.get(resource_id)
        return found if found is not None and found.owner == owner and found.kind is kind else None

    def get(self, owner: str, kind: Kind, resource_id: str) -> Resource:
        """Return an owner's resource of a kind. Raises `AwsError` with EC2's code if it does not exist."""
        found = self.find(owner, kind, resource_id)
        if found is None:
            raise AwsError(kind.not_found, f"The {kind.noun} '{resource_id}' does not exist")
        return found

    def put(self, *resources: Resource) -> State:
        """Return the state with resources added or replaced."""
        return State({**self.resources, **{each.id: each for each in resources}})

    def remove(self, *resources: Resource) -> State:
        """Return the state without some resources."""
        gone = {each.id for each in resources}
        return State({key: each for key, each in self.resources.items() if key not in gone})
