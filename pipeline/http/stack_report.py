"""Stacks as `pipeline stack` and the control API show them. Reading loads nothing of the types of resources."""

from __future__ import annotations

from collections.abc import Collection

from pipeline.base.errors import ConfigError
from pipeline.http.responses.stack import (
    DescribedStackResponse,
    StackDeletionResponse,
    StackDeletionStepResponse,
    StackEventResponse,
    StackResourceResponse,
)
from pipeline.stacks.deletion_plan import deletion_plan
from pipeline.stacks.masking import MASK, masked
from pipeline.stacks.plan import Action, Step
from pipeline.stacks.records import Stack, StackEvent, StackResource
from pipeline.stacks.store import StackStore
from pipeline.store.store import Store

OWNER = "aws"
"""The default owner of stacks."""


class StackReport:
    """The stacks of a home. Values of NoEcho parameters are masked. Changes nothing."""

    def __init__(self, store: Store, owner: str = OWNER) -> None:
        self._stacks = StackStore(store.stacks.database)
        self._owner = owner

    def all(self, *, with_deleted: bool = False) -> list[DescribedStackResponse]:
        """Return the stacks, newest first."""
        found = self._stacks.all(self._owner)
        return [stack_response(stack) for stack in found if with_deleted or stack.deleted is None]

    def stack(self, name: str) -> DescribedStackResponse:
        """Return a stack, by name or ARN. Raises `ConfigError` if there is none."""
        return stack_response(self._find(name))

    def resources(self, name: str) -> list[StackResourceResponse]:
        """Return the resources of a stack, in the order in which they were made."""
        return [resource_response(each) for each in self._stacks.resources(self._find(name).id)]

    def events(self, name: str, *, limit: int | None = None) -> list[StackEventResponse]:
        """Return the latest events of a stack, oldest first. By default all of them."""
        stack = self._find(name)
        events = self._stacks.events(stack.id)
        return [event_response(stack, event) for _, event in (events if limit is None else events[-limit:])]

    def deletion(self, name: str, retained: Collection[str] = ()) -> StackDeletionResponse:
        """Return what a deletion of a stack would do, if it gives up the resources in `retained`."""
        plan = deletion_plan(self._stacks, self._find(name), retained)
        return StackDeletionResponse(
            steps=[_step_response(step) for step in plan.steps], obstacles=list(plan.obstacles)
        )

    def _find(self, name: str) -> Stack:
        found = self._stacks.find(self._owner, name)
        if found is None:
            raise ConfigError(f"stack {name[:200]} does not exist", hint="`pipeline stack list` lists them")
        return found


def stack_response(stack: Stack) -> DescribedStackResponse:
    """Return a stack as it is shown."""
    goal = stack.goal
    return DescribedStackResponse(
        id=stack.id,
        name=stack.name,
        owner=stack.owner,
        status=stack.status,
        reason=stack.reason,
        created=stack.created.wall,
        updated=stack.updated.wall if stack.updated else None,
        description=goal.description,
        parameters={name: MASK if name in goal.no_echo else value for name, value in goal.parameters.items()},
        tags=dict(goal.tags),
        outputs={output.name: output.value for output in stack.outputs},
        parent=stack.parent,
    )


def resource_response(resource: StackResource) -> StackResourceResponse:
    """Return a resource as it is shown."""
    return StackResourceResponse(
        resource=resource.logical_id,
        type=resource.known.type,
        status=resource.status,
        reason=resource.reason,
        physical_id=resource.physical_id,
        since=resource.since.wall,
    )


def event_response(stack: Stack, event: StackEvent) -> StackEventResponse:
    """Return an event of a stack as it is shown."""
    return StackEventResponse(
        at=event.at.wall,
        stack=stack.name,
        resource=event.logical_id,
        type=event.type,
        status=event.status,
        reason=event.reason,
        physical_id=event.physical_id,
        properties=masked(stack.goal, event.properties),
        by=event.by,
    )


def _step_response(step: Step) -> StackDeletionStepResponse:
    assert step.resource is not None, "a deletion has steps for stored resources only"
    return StackDeletionStepResponse(
        resource=step.logical_id,
        type=step.resource.known.type,
        physical_id=step.resource.physical_id,
        action="retain" if step.action is Action.RETAIN else "delete",
    )
