"""Endpoint services: the offer of gateway load balancers to networks."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, field_validator

from pipeline.base.schema import Model, Name


class EndpointService(Model):
    """An endpoint service. Endpoints of this pipeline and of others connect to its gateway load balancers."""

    load_balancers: Annotated[tuple[Name, ...], Field(min_length=1)] = Field(
        description="Gateway load balancers of this pipeline. An endpoint uses the first one enabled in its zone."
    )
    acceptance_required: bool = Field(
        True,
        description="If true, an endpoint carries no packet before `pipeline balancer endpoints accept`. "
        "A change applies to endpoints that connect later.",
    )

    @field_validator("load_balancers")
    @classmethod
    def _are_different(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        if twice := next((name for name in names if names.count(name) > 1), None):
            raise ValueError(f"must hold {twice} once")
        return names
