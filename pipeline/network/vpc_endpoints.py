"""What the networks need to know of endpoints, whose package lies above this one."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Protocol

from pipeline.aws.service import Operation
from pipeline.network.state import State


class VpcEndpoints(Protocol):
    """The endpoints of gateway load balancers to which routes may lead."""

    def operations(self) -> Mapping[str, Operation]:
        """Return EC2's operations on endpoints by their names."""

    def ids(self, owner: str) -> Collection[str]:
        """Return the ids of an owner's endpoints that routes may lead to."""

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

    def follow(self, owner: str, state: State) -> None:
        pass
