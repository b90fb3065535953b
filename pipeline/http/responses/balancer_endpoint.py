"""The endpoints of gateway load balancers, as the control API and `--json` show them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from pydantic import Field

from pipeline.balancer.endpoint_resources import EndpointState
from pipeline.balancer.model.gateway.attached_network import PlaceKind
from pipeline.http.responses.body import Body


class AttachedNetworkResponse(Body):
    """A network of an endpoint."""

    name: str
    kind: PlaceKind
    place: str = Field(description="The namespace, or the network of Docker. Empty for this machine.")
    addresses: Sequence[str] = Field(description="As declared. Empty for the subnets of a network of Docker.")
    routes: Sequence[str] = Field(description="As declared. Empty for the default routes.")
    fault: str = Field(description="Why it is not attached. Empty if it is, or if the endpoint is not available.")


class EndpointResponse(Body):
    """An endpoint of a gateway load balancer."""

    id: str = Field(description="`vpce-` and 17 hex digits.")
    name: str
    owner: str
    service: str = Field(description="The owner and the name of its endpoint service, with a slash in between.")
    load_balancer: str | None = Field(description="NAME.OWNER of the gateway load balancer. Null without a service.")
    state: EndpointState = Field(description="As EC2 names it.")
    reason: str = Field(description="Why it carries no packets. Empty if it may carry some.")
    since: datetime | None = Field(description="The time of the state. Null without a service.")
    zone: str | None
    networks: Sequence[AttachedNetworkResponse]
    counts: Mapping[str, int] = Field(
        description="`active` flows, `new` ones, `bytes`, and dropped packets by reason, as far as they are known."
    )
