"""The control API's commands to stacks. Commands in a shell read stacks from the database themselves."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from pipeline.http.requests import API_USER, Actor
from pipeline.http.requests import Body as Request
from pipeline.http.responses.body import Body as Response

if TYPE_CHECKING:
    from pipeline.stacks.goals import StackRequest
    from pipeline.stacks.records import Stack
    from pipeline.stacks.stacks import Stacks


class StackOwner(Request):
    """A request about a stack of an owner."""

    owner: str = Field("aws", description="The owner of the stack.")
    by: Actor = Field(API_USER, description="The user who requests it.")


class DeleteStack(StackOwner):
    """A request to delete a stack."""

    retain: list[str] = Field([], description="Resources to keep, for a stack in DELETE_FAILED.")


class ContinueRollback(StackOwner):
    """A request to continue a rollback that has failed."""

    skip: list[str] = Field([], description="Resources to leave as they are.")


class UpdateStack(StackOwner):
    """A request to update a stack."""

    template: str = Field(description="The template, as JSON or YAML.")
    source: str = Field("template", description="The name of the template's file, for messages.")
    folder: str | None = Field(None, description="The folder against which paths of nested templates are resolved.")
    parameters: dict[str, str] = Field({}, description="Values of the template's parameters.")
    tags: dict[str, str] | None = Field(None, description="Tags of the stack. Default: the present ones.")
    ignore_unknown: bool = Field(False, description="Skip resources of types that are not offered.")
    on_failure: Literal["ROLLBACK", "DELETE", "DO_NOTHING"] = Field("ROLLBACK", description="What follows a failure.")


class CreateStack(UpdateStack):
    """A request to create a stack."""

    name: str = Field(description="The name of the stack.")
    region: str = Field("us-east-1", description="The region in the stack's ARN.")
    timeout: float | None = Field(None, gt=0, description="The longest time of the creation, in seconds.")
    protected: bool = Field(False, description="Refuse to delete the stack.")


class StackResponse(Response):
    """A stack whose operation has begun."""

    id: str = Field(description="The ARN of the stack.")
    name: str = Field(description="The name of the stack.")
    status: str = Field(description="The state of the stack, as CloudFormation names it.")


class StackCommands:
    """Commands to the stacks of a daemon, by the requests above."""

    def __init__(self, stacks: Callable[[], Stacks]) -> None:
        self._stacks = stacks

    def create(self, body: CreateStack) -> StackResponse:
        """Begin to create a stack."""
        fields = {"on_failure": body.on_failure, "timeout": body.timeout, "termination_protection": body.protected}
        request = stack_request(body)
        return _response(self._stacks().create(body.owner, body.region, body.name, request, by=body.by, **fields))

    def update(self, name: str, body: UpdateStack) -> StackResponse:
        """Begin to update a stack."""
        request = stack_request(body)
        return _response(self._stacks().update(body.owner, name, request, on_failure=body.on_failure, by=body.by))

    def delete(self, name: str, body: DeleteStack) -> StackResponse:
        """Begin to delete a stack."""
        stack = self._stacks().find(body.owner, name)
        self._stacks().delete(body.owner, name, body.retain, by=body.by)
        return _response(self._stacks().store.get(stack.id))

    def continue_rollback(self, name: str, body: ContinueRollback) -> StackResponse:
        """Continue a rollback that has failed."""
        stack = self._stacks().find(body.owner, name)
        self._stacks().continue_rollback(body.owner, name, body.skip, by=body.by)
        return _response(self._stacks().store.get(stack.id))

    def cancel(self, name: str, body: StackOwner) -> StackResponse:
        """Cancel the creation or update of a stack."""
        stack = self._stacks().find(body.owner, name)
        self._stacks().cancel(stack, by=body.by)
        return _response(self._stacks().store.get(stack.id))


def stack_request(body: UpdateStack) -> StackRequest:
    """Return what a user wants a stack to be. Parameters that are not given keep their values."""
    from pipeline.stacks.goals import StackRequest

    return StackRequest(
        body.template,
        body.parameters,
        body.tags,
        ignore_unknown=body.ignore_unknown,
        source=body.source,
        folder=body.folder,
        keep_parameters=True,
    )


def _response(stack: Stack) -> StackResponse:
    return StackResponse(id=stack.id, name=stack.name, status=stack.status)
