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


class EndpointNameResponse(OwnedNameResponse):
    """An endpoint by its name, its owner and its id."""

    id: str = Field(description="`vpce-` and 17 hex digits.")


class PacketTargetResponse(Body):
    """An appliance of an endpoint."""

    target: TargetResponse
    state: TargetState
    eligible: bool = Field(description="Whether new flows may choose it.")
    chosen: bool = Field(description="Whether the flow of the packet chooses it.")


class PacketExplanationResponse(Body):
    """The appliance that gets the new flow of a packet at an endpoint, and why."""

    endpoint: EndpointNameResponse
    load_balancer: OwnedNameResponse
    target_group: str
    protocol: str
    source: str
    source_port: int | None
    destination: str
    destination_port: int | None
    fields: int = Field(description="The number of fields that make a flow: 5, or 3 or 2 with stickiness.")
    fails_open: bool = Field(description="Whether all appliances get new flows because none is healthy.")
    targets: Sequence[PacketTargetResponse] = Field(description="The appliances of the endpoint's zone, or all.")
    reason: str = Field(description="Why the flow chooses its appliance, or why it has none.")


class ExplanationResponse(RootModel[RequestExplanationResponse | FlowExplanationResponse | PacketExplanationResponse]):
    """The way of a request, of a connection to a network load balancer, or of a packet at an endpoint."""

    def as_data(self) -> dict[str, Any]:
        """Return the explanation as JSON data."""
        return self.root.as_data()
