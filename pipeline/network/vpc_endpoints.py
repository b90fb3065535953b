"""What the networks need to know of endpoints, whose package lies above this one."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import NamedTuple, Protocol

from pipeline.aws.service import Operation
from pipeline.network.state import State


class Tagged(NamedTuple):
    """A resource with tags. `kind`: as EC2 names its type."""

    kind: str
    tags: Mapping[str, str]


ChangedTags = Callable[[Mapping[str, str]], Mapping[str, str]]
"""Returns the tags of a resource after a change."""


class VpcEndpoints(Protocol):
    """The endpoints of gateway load balancers to which routes may lead."""

    def operations(self) -> Mapping[str, Operation]:
        """Return EC2's operations on endpoints by their names."""

    def ids(self, owner: str) -> Collection[str]:
        """Return the ids of an owner's endpoints that routes may lead to."""

    def subnets(self, owner: str) -> Collection[str]:
        """Return the ids of the subnets that an owner's endpoints are in."""

    def tags(self, owner: str) -> Mapping[str, Tagged]:
        """Return the tags of an owner's endpoints and endpoint services by their ids."""

    def change_tags(self, owner: str, ids: Collection[str], change: ChangedTags) -> None:
        """Change the tags of those with these ids. Called as `follow` is.

        Raises what `change` raises, and `AwsError` for what pipeline.yaml declares.
        """

    def follow(self, owner: str, state: State) -> None:
        """Give an owner's endpoints the networks whose routes lead to them. Called before the state is stored.

        What it raises keeps the state as it was.
        """


class NoEndpoints:
    """Stands in for endpoints where no data plane is."""

    def operations(self) -> Mapping[str, Operation]:
        return {}

    def ids(self, owner: str) -> Collection[str]:  # noqa: ARG002
        return ()

    def subnets(self, owner: str) -> Collection[str]:  # noqa: ARG002
        return ()

    def tags(self, owner: str) -> Mapping[str, Tagged]:  # noqa: ARG002
        return {}

    def change_tags(self, owner: str, ids: Collection[str], change: ChangedTags) -> None:
        pass

    def follow(self, owner: str, state: State) -> None:
        pass
