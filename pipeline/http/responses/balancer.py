"""The load balancers of a machine, as the control API and `--json` show them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Literal

from pydantic import Field

from pipeline.balancer.model import TargetState
from pipeline.http.responses.body import Body


class NodeHealthResponse(Body):
    """The node of a load balancer in one zone."""

    zone: str
    address: str | None = Field(description="Null for a gateway load balancer, which has no address.")
    healthy: bool = Field(description="Whether the names of the load balancer give clients its address.")
    reason: str = Field(description="Why they do not, empty if they do.")


class ShareResponse(Body):
    """A target group that a rule forwards to."""

    target_group: str = Field(description="Its owner and its name, with a dot in between.")
    share: float = Field(description="Its percentage of the rule's requests or connections.")
    alternate_of: str | None = Field(
        description="The target group whose requests it shares while a deployment moves them. Null otherwise."
    )
    requests_per_second: float | None = Field(description="Null for connections, which are not in the access log.")


class RuleResponse(Body):
    """A rule of a listener, or its default action."""

    priority: int | Literal["default"]
    owner: str = Field(description="The pipeline or the client that declares it.")
    conditions: Sequence[Mapping[str, Any]] = Field(description="As in pipeline.yaml. Empty for the default action.")
    action: Mapping[str, Any] = Field(description="As in pipeline.yaml.")
    matches: str = Field(description="The conditions as text.")
    effect: str = Field(description="The action as text.")
    target_groups: Sequence[ShareResponse]
    requests_per_second: float | None = Field(description="Null for connections, which are not in the access log.")


class ListenerResponse(Body):
    """A listener of a load balancer, with the rules of all owners."""

    port: int | None = Field(description="Null for that of a gateway load balancer, which takes all packets.")
    protocol: str
    address: str
    urls: Sequence[str]
    plane: str | None = Field(description="What carries a listener of a network load balancer. Null for others.")
    plane_reason: str | None
    plane_hint: str | None
    rules: Sequence[RuleResponse] = Field(description="By priority. The last one is the default action.")


class UsedEndpointResponse(Body):
    """An endpoint whose packets go to a gateway load balancer."""

    id: str = Field(description="`vpce-` and 17 hex digits.")
    name: str
    owner: str
    state: str = Field(description="The state of its connection, as in EC2, such as `available`.")
    reason: str = Field(description="Why it carries no packets. Empty if it may carry some.")
    networks: Sequence[str]


class LoadBalancerResponse(Body):
    """A load balancer with its nodes and listeners."""

    name: str
    owner: str
    type: str
    scheme: str | None = Field(description="Null for a gateway load balancer, which has no address.")
    zones: Sequence[NodeHealthResponse] = Field(description="Its nodes. Empty without zones.")
    endpoints: Sequence[UsedEndpointResponse] = Field(description="Those of a gateway load balancer. Empty for others.")
    listeners: Sequence[ListenerResponse]


class TargetResponse(Body):
    """A target: a container, a function or another load balancer."""

    id: str
    address: str
    port: int
    zone: str | None


class DrainResponse(Body):
    """The drain of a target, whose open requests may finish."""

    since: datetime
    delay: float = Field(description="The deregistration delay of its group, in seconds.")
    left: float = Field(description="The seconds that are left of the delay.")


class ContainerExitResponse(Body):
    """The exit of a container."""

    container: str
    exit_code: int
    at: datetime
    is_down: bool = Field(description="Whether it has neither started again nor been removed since.")


class TargetHealthResponse(Body):
    """A target of a group, with its health and its requests."""

    target: TargetResponse
    state: TargetState
    reason: str = Field(description="ELB's code of the reason. Empty for a healthy target.")
    description: str
    in_flight: int = Field(
        description="Open requests, connections behind a network load balancer, or flows behind a gateway."
    )
    state_age: str = Field(description="The age of the state, such as `30s`.")
    since: datetime = Field(description="The time of the registration or, while it drains, of the deregistration.")
    requests_per_second: float | None = Field(description="Null for connections, which are not in the access log.")
    errors_5xx: int | None = Field(description="Responses with 5XX within `seconds`. Null for connections.")
    draining: DrainResponse | None = Field(description="Null for a target that does not drain.")
    exited: ContainerExitResponse | None = Field(
        description="The exit of its container if that is down. Null if it runs, or if no daemon follows the engine."
    )


class BalancerResponse(Body):
    """The load balancers of all pipelines on a machine, at one moment."""

    at: datetime = Field(description="The moment.")
    seconds: float = Field(description="The time before it in which requests were counted.")
    load_balancers: Sequence[LoadBalancerResponse]
    target_groups: Mapping[str, Sequence[TargetHealthResponse]] = Field(
        description="The targets of each group, by the owner and the name of the group."
    )
    held: Mapping[str, int] = Field(
        description="The requests that wait for a first target, by the groups that may be scaled to zero."
    )
    exits: Sequence[ContainerExitResponse] = Field(
        description="The exits of the last minute and those of containers that are down, as the daemon knows them. "
        "Those that a deployment or a repair has stopped are left out."
    )
    hosts: Mapping[str, str] = Field(
        description="The host of each target whose pipeline has several, by the target's id."
    )
