"""The start of operations: the change on disk from which `StackOperation` works on."""

from __future__ import annotations

import uuid
from collections.abc import Collection
from dataclasses import replace
from typing import Any

from pipeline.base.clock import Clock
from pipeline.stacks.error import StackError
from pipeline.stacks.records import Goal, Stack, StackResource, Standing
from pipeline.stacks.state import StackState, stack_event
from pipeline.stacks.status import StackStatus
from pipeline.stacks.store import StackStore

USER_INITIATED = "User Initiated"
_S = StackStatus


def new_stack(name: str, owner: str, region: str, account: str, goal: Goal, clock: Clock, **fields: Any) -> Stack:
    """Return a stack that is about to be created, or only reviewed. It is not stored yet."""
    now = clock.now()
    stack_id = f"arn:aws:cloudformation:{region}:{account}:stack/{name}/{uuid.uuid4()}"
    status = fields.pop("status", _S.CREATE_IN_PROGRESS)
    operation = 0 if status is _S.REVIEW_IN_PROGRESS else 1
    return Stack(
        stack_id,
        owner,
        name,
        region,
        status,
        goal,
        now,
        now,
        reason=USER_INITIATED,
        operation=operation,
        **fields,
    )


def add_stack(store: StackStore, stack: Stack, imports: Collection[str], by: str | None = None) -> None:
    """Store a new stack, which the user `by` has requested. Raises `StackError` if its owner has one of this name."""
    store.add(stack, [stack_event(stack, stack.created, by)], imports)


def start_creation(state: StackState, goal: Goal, imports: frozenset[str], **fields: Any) -> None:
    """Begin to create a stack that was only reviewed. `fields` are those of `Stack`, or of `StackState.move`."""
    state.move(
        _S.CREATE_IN_PROGRESS, USER_INITIATED, imports=imports, goal=goal, operation=state.stack.operation + 1, **fields
    )


def start_update(state: StackState, goal: Goal, imports: frozenset[str], **fields: Any) -> None:
    """Begin to update a stack. Raises `StackError` if its state does not allow it.

    `imports` are those of both templates: until the operation has ended, the stack uses the former ones as well.
    """
    stack = state.stack
    check_updatable(stack)
    state.move(
        _S.UPDATE_IN_PROGRESS,
        USER_INITIATED,
        imports=imports,
        # What an update that failed has begun with is tried anew, from the new template.
        resources=[replace(resource, target=None) for resource in state.resources if _has_begun(resource)],
        goal=goal,
        former=stack.former or stack.goal,
        updated=state.now(),
        operation=stack.operation + 1,
        **{"on_failure": "ROLLBACK", "cancelled": None, "timeout": None, **fields},
    )


def start_deletion(
    state: StackState,
    retained: Collection[str] = (),
    request_token: str | None = None,
    *,
    by: str | None = None,
) -> None:
    """Begin to delete a stack. Raises `StackError` if another stack imports from it, or if it is protected."""
    stack = state.stack
    if stack.termination_protection:
        raise StackError(f"Stack [{stack.name}] cannot be deleted while TerminationProtection is enabled")
    if stack.status.in_progress:
        raise StackError(
            f"Stack:{stack.id} is in {stack.status} state and can not be deleted",
            hint="wait for the end of the operation, or cancel it",
        )
    check_retained(stack, state.resources, retained)
    state.move(
        _S.DELETE_IN_PROGRESS,
        USER_INITIATED,
        by=by,
        exports={},
        operation=stack.operation + 1,
        retained=tuple(retained),
        cancelled=None,
        request_token=request_token,
    )


def start_rollback(state: StackState, skipped: Collection[str] = (), *, by: str | None = None) -> None:
    """Continue a rollback of an update that has failed. The resources in `skipped` are left as they are."""
    stack = state.stack
    if stack.status is not _S.UPDATE_ROLLBACK_FAILED:
        raise StackError(
            f"Stack:{stack.id} is in {stack.status} state and can not continue rollback.",
            hint="only a stack in UPDATE_ROLLBACK_FAILED can",
        )
    known = {resource.logical_id for resource in state.resources}
    if unknown := sorted(set(skipped) - known):
        raise StackError(f"Resources to skip do not exist in the stack: [{', '.join(unknown)}]")
    state.move(_S.UPDATE_ROLLBACK_IN_PROGRESS, USER_INITIATED, by=by, skipped=tuple(skipped), cancelled=None)


def check_retained(stack: Stack, resources: Collection[StackResource], retained: Collection[str]) -> None:
    """Raise `StackError` if a deletion cannot give up the resources in `retained`."""
    if retained and stack.status is not _S.DELETE_FAILED:
        raise StackError(
            f"Invalid operation on stack [{stack.id}]. RetainResources can only be specified for a stack in"
            " DELETE_FAILED state"
        )
    if unknown := sorted(set(retained) - {resource.logical_id for resource in resources}):
        raise StackError(f"The following resources to retain do not exist in the stack: [{', '.join(unknown)}]")


def check_updatable(stack: Stack) -> None:
    """Raise `StackError` if the state of a stack does not allow an update."""
    if not stack.status.can_be_updated:
        raise StackError(f"Stack:{stack.id} is in {stack.status} state and can not be updated.")


def _has_begun(resource: StackResource) -> bool:
    return resource.standing is Standing.CURRENT and resource.target is not None
