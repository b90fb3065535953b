"""The way of a request or a connection, as the control API and `--json` show it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from pydantic import Field, RootModel

from pipeline.balancer.model import TargetState
from pipeline.http.responses.balancer import TargetResponse
from pipeline.http.responses.body import Body


class OwnedNameResponse(Body):
    """A load balancer by its name and its owner."""

    name: str
    owner: str


class MissResponse(Body):
    """A rule that does not match the request."""

    priority: int
    owner: str
    reason: str = Field(description="The first of its conditions that does not hold, and what the request has.")


class ChosenGroupResponse(Body):
    """A target group that may get the request."""

    target_group: str
    share: float = Field(description="Its percentage of such requests.")


class RequestExplanationResponse(Body):
    """The rule that matches a request, and why the earlier ones do not."""

    port: int
    load_balancer: OwnedNameResponse
    misses: Sequence[MissResponse]
    priority: int | Literal["default"]
    owner: str
    action: Mapping[str, Any] = Field(description="As in pipeline.yaml.")
    effect: str = Field(description="The action as text.")
    target_groups: Sequence[ChosenGroupResponse]
    held: Sequence[str] = Field(description="The groups without a target that hold the request until they have one.")


class FlowTargetResponse(Body):
    """A target that a node may send connections to."""

    target_group: str
    weight: float = Field(description="The percentage of its group.")
    sticky: bool = Field(description="Whether the group keeps each client address with one target.")
    fails_open: bool = Field(description="Whether targets get connections because too few are healthy.")
    target: TargetResponse
    state: TargetState
    share: float = Field(description="Its percentage of the node's new connections.")


class FlowNodeResponse(Body):
    """A node that the address may mean, with its targets."""

    zone: str | None
    targets: Sequence[FlowTargetResponse]


class FlowExplanationResponse(Body):
    """The listener of a connection, and the shares of the targets."""

    port: int
    protocol: str
    load_balancer: OwnedNameResponse
    plane: str
    nodes: Sequence[FlowNodeResponse]


class ExplanationResponse(RootModel[RequestExplanationResponse | FlowExplanationResponse]):
    """The way of a request, or of a connection to a network load balancer."""

    def as_data(self) -> dict[str, Any]:
        """Return the explanation as JSON data."""
        return self.root.as_data()
