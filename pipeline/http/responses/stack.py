"""A stack, as the control API and `--json` show it."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from pipeline.http.responses.body import Body, Timestamp


class DescribedStackResponse(Body):
    """A stack. Values of NoEcho parameters are masked."""

    id: str = Field(description="The ARN of the stack.")
    name: str = Field(description="The name of the stack.")
    owner: str = Field(description="The owner of the stack.")
    status: str = Field(description="The state of the stack, as CloudFormation names it.")
    reason: str = Field(description="The reason of the state.")
    created: Timestamp = Field(description="Time of creation.")
    updated: Timestamp | None = Field(description="Start of the latest update.")
    description: str | None = Field(description="The description in its template.")
    parameters: dict[str, str] = Field(description="Values of its parameters.")
    tags: dict[str, str] = Field(description="Its tags.")
    outputs: dict[str, Any] = Field(description="Its outputs.")
    parent: str | None = Field(description="The ARN of the stack that it is nested in.")


class StackResourceResponse(Body):
    """A resource of a stack. While it is replaced, a logical name has several."""

    resource: str = Field(description="The logical name.")
    type: str = Field(description="The type of the resource.")
    status: str = Field(description="The state of the resource, as CloudFormation names it.")
    reason: str = Field(description="The reason of the state.")
    physical_id: str | None = Field(description="The name or ARN of what was made.")
    since: Timestamp = Field(description="Time of the state.")


class StackEventResponse(Body):
    """An event of a stack. Those of the stack itself have its name as the resource."""

    at: Timestamp = Field(description="Time of the event.")
    stack: str = Field(description="The name of the stack.")
    resource: str = Field(description="The logical name of the resource.")
    type: str = Field(description="The type of the resource.")
    status: str = Field(description="The state of the resource, as CloudFormation names it.")
    reason: str = Field(description="The reason of the state.")
    physical_id: str = Field(description="The name or ARN of what was made.")
    properties: Any = Field(description="The properties of the resource, null if the event has none.")
    by: str | None = Field(
        description="The user who has requested what the event begins, null for what follows from it."
    )


class StackDeletionStepResponse(Body):
    """What a deletion would do with a resource."""

    resource: str = Field(description="The logical name.")
    type: str = Field(description="The type of the resource.")
    physical_id: str | None = Field(description="The name or ARN of what was made.")
    action: Literal["delete", "retain"] = Field(description="`retain` if its DeletionPolicy keeps it.")


class StackDeletionResponse(Body):
    """What a deletion of a stack would do in its present state."""

    steps: list[StackDeletionStepResponse] = Field(
        description="The resources, in an order in which they can be deleted."
    )
    obstacles: list[str] = Field(description="The reasons for which the stack cannot be deleted now.")
