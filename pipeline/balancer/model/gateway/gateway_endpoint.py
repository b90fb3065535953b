"""Gateway load balancer endpoints: where the routes of networks lead."""

from __future__ import annotations

from itertools import combinations
from typing import Annotated, Self

from pydantic import Field, model_validator

from pipeline.balancer.model.gateway.attached_network import AttachedNetwork
from pipeline.base.errors import FieldError
from pipeline.base.schema import Model, Name

_NAME = "[A-Za-z0-9]([A-Za-z0-9-]{0,30}[A-Za-z0-9])?"
SERVICE_NAME = rf"^({_NAME}/)?{_NAME}$"


class GatewayEndpointSettings(Model):
    """An endpoint. One that a client of the API has made may have no network yet."""

    service: str = Field(
        pattern=SERVICE_NAME,
        description="An endpoint service: NAME of this pipeline, or PIPELINE/NAME of another pipeline.",
    )
    zone: Name | None = Field(
        None, description="The zone of the endpoint. Its packets go to the appliances of this zone first."
    )
    networks: dict[Name, AttachedNetwork] = Field({})

    @model_validator(mode="after")
    def _networks_differ(self) -> Self:
        for (name, one), (other, two) in combinations(self.networks.items(), 2):
            if (one.kind, one.place) == (two.kind, two.place):
                raise FieldError(("networks", other), f"must be another network than {name}")
            if same := next((each for each in one.addresses if each in two.addresses), None):
                raise FieldError(("networks", other, "addresses"), f"must not hold {same}, which {name} has")
        return self

    def service_of(self, owner: str) -> tuple[str, str]:
        """Return the owner and the name of its service. `owner` is the endpoint's own."""
        first, slash, second = self.service.partition("/")
        return (first, second) if slash else (owner, first)


class GatewayEndpoint(GatewayEndpointSettings):
    """An endpoint. It is a router between its networks, in which every packet passes an appliance."""

    networks: Annotated[dict[Name, AttachedNetwork], Field(min_length=1)] = Field(
        description="The networks between which it carries packets, by name."
    )
