"""A service of the active release, as the control API and `--json` show it."""

from __future__ import annotations

from pydantic import Field

from pipeline.http.responses.body import Body


class ReplicaResponse(Body):
    """A container of a service."""

    name: str = Field(description="The name of the container.")
    release: int = Field(description="Its release; 0 if it is not known.")
    state: str = Field(description="The state of the container, such as `running`; `unknown` if its engine is silent.")
    health: str | None = Field(description="The result of its own health check; null without one.")
    target: str | None = Field(description="The state of its target, as ELB names it; null without a target.")
    reason: str = Field(description="The reason code of the state of its target, empty without one.")
    description: str = Field(description="The reason in words, empty without one.")
    in_flight: int = Field(description="Requests, or connections, in progress.")
    host: str = Field(description="The name of its host; empty if the local engine has all.")
    restarts: int = Field(description="How often its engine restarted it.")


class ServiceResponse(Body):
    """A service with its containers, also those of other releases."""

    name: str = Field(description="The name of the service.")
    image: str = Field(description="The name of its image.")
    target_group: str | None = Field(description="The target group of its containers; null without one.")
    wanted: int | None = Field(description="The number of replicas that it should have; null if it is not known.")
    healthy: int = Field(description="The number of replicas that are healthy.")
    is_scaled: bool = Field(description="Whether auto scaling chooses the number.")
    replicas: list[ReplicaResponse] = Field(description="Its containers, by name.")
