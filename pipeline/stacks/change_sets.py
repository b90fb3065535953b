"""Change sets: a difference that is shown first, and executed later."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from pipeline.stacks.error import StackError
from pipeline.stacks.goals import StackRequest
from pipeline.stacks.records import ChangeSet, ChangeSetStatus, ExecutionStatus, Goal, Stack
from pipeline.stacks.stacks import ACCOUNT, Stacks, check_name
from pipeline.stacks.start import add_stack, check_updatable, new_stack, start_creation
from pipeline.stacks.status import StackStatus
from pipeline.stacks.template import Evaluated

NO_CHANGES = "The submitted information didn't contain changes. Submit different information to create a change set."


class ChangeSets:
    """The change sets of all stacks of a home. Safe to use from any thread. Raises as `Stacks`."""

    def __init__(self, stacks: Stacks) -> None:
        self._stacks = stacks
        self._store = stacks.store

    def create(
        self,
        owner: str,
        region: str,
        stack_name: str,
        name: str,
        request: StackRequest,
        *,
        by: str | None = None,
        **options: Any,
    ) -> ChangeSet:
        """Compare a stack with a request, and store the difference.

        With `kind` `CREATE`, the stack must not exist, and is stored for review. If nothing differs, the change set has
        the status FAILED, as in AWS. `options` are fields of `ChangeSet`.
        """
        kind = options.pop("kind", "UPDATE")
        stack = self._target(owner, region, stack_name, name, kind)
        if any(found.name == name for found in self._store.change_sets(stack.id)):
            raise StackError(f"ChangeSet {name} already exists", code="AlreadyExistsException")
        goal, evaluated = self._stacks.goals.goal(stack, request)
        if self._store.find(owner, stack.id) is None:
            add_stack(self._store, stack, (), by)
        change_set = self._compared(stack, name, kind, goal, evaluated, **options)
        self._store.put_change_set(change_set)
        return change_set

    def find(self, owner: str, name: str, stack_name: str | None = None) -> tuple[Stack, ChangeSet]:
        """Return a change set by ARN, or by its name and that of its stack."""
        change_set = self._store.change_set(name)
        if change_set is None and stack_name is not None:
            stack = self._stacks.find(owner, stack_name, "Stack [{}] does not exist")
            change_set = next((found for found in self._store.change_sets(stack.id) if found.name == name), None)
        found = self._store.find(owner, change_set.stack) if change_set else None
        if change_set is None or found is None:
            raise StackError(f"ChangeSet [{name}] does not exist", code="ChangeSetNotFound", status=404)
        return found, self._current(found, change_set)

    def all(self, owner: str, stack_name: str) -> Sequence[ChangeSet]:
        """Return the change sets of a stack."""
        stack = self._stacks.find(owner, stack_name, "Stack [{}] does not exist")
        return [self._current(stack, change_set) for change_set in self._store.change_sets(stack.id)]

    def execute(
        self,
        owner: str,
        name: str,
        stack_name: str | None = None,
        *,
        on_failure: str | None = None,
        by: str | None = None,
    ) -> Stack:
        """Begin to make a stack what its change set says. `on_failure` replaces that of the change set."""
        stack, change_set = self.find(owner, name, stack_name)
        if change_set.execution is not ExecutionStatus.AVAILABLE:
            raise StackError(
                f"ChangeSet [{change_set.id}] cannot be executed in its current status of [{change_set.status}]",
                code="InvalidChangeSetStatus",
                hint=f"its execution status is {change_set.execution}",
            )
        evaluated = self._stacks.goals.evaluate(stack, change_set.goal)
        executed = replace(change_set, execution=ExecutionStatus.EXECUTE_COMPLETE)
        options: dict[str, Any] = {
            "on_failure": on_failure or change_set.on_failure,
            "change_set": change_set.id,
            "change_sets": (executed,),
            "by": by,
        }
        if stack.status is not StackStatus.REVIEW_IN_PROGRESS:
            self._stacks.start_update(stack, change_set.goal, evaluated, **options)
            return self._store.get(stack.id)
        with self._stacks.claimed(stack, "created") as claim:
            start_creation(claim.state, change_set.goal, evaluated.imports, **options)
            self._stacks.jobs.start(claim)
        return self._store.get(stack.id)

    def delete(self, owner: str, name: str, stack_name: str | None = None) -> None:
        """Delete a change set. Its stack stays, also one that was only reviewed."""
        _, change_set = self.find(owner, name, stack_name)
        self._store.drop_change_set(change_set.id)

    def _target(self, owner: str, region: str, name: str, change_set: str, kind: str) -> Stack:
        """Return the stack that a new change set is for, which is not stored yet if it is to be created."""
        stack = self._store.find(owner, name)
        if kind == "CREATE":
            return self._reviewed(owner, region, name, stack, change_set)
        if stack is None:
            raise StackError(f"Stack [{name}] does not exist", hint="create it, or use the type CREATE")
        check_updatable(stack)
        return stack

    def _compared(
        self, stack: Stack, name: str, kind: str, goal: Goal, evaluated: Evaluated, **options: Any
    ) -> ChangeSet:
        """Return a new change set with what differs between a stack and a goal."""
        differs = kind == "CREATE" or self._stacks.differs(stack, goal, evaluated)
        return ChangeSet(
            f"arn:aws:cloudformation:{stack.region}:{ACCOUNT}:changeSet/{name}/{uuid.uuid4()}",
            stack.id,
            name,
            kind,
            ChangeSetStatus.CREATE_COMPLETE if differs else ChangeSetStatus.FAILED,
            ExecutionStatus.AVAILABLE if differs else ExecutionStatus.UNAVAILABLE,
            goal,
            tuple(self._stacks.changes(stack, goal, evaluated)),
            self._stacks.clock.now(),
            stack.operation,
            "" if differs else NO_CHANGES,
            **options,
        )

    def _reviewed(self, owner: str, region: str, name: str, found: Stack | None, change_set: str) -> Stack:
        check_name(name)
        if found is None:
            return new_stack(
                name, owner, region, ACCOUNT, Goal(""), self._stacks.clock, status=StackStatus.REVIEW_IN_PROGRESS
            )
        if found.status is not StackStatus.REVIEW_IN_PROGRESS:
            raise StackError(
                f"Stack [{name}] already exists and cannot be created again with the changeSet [{change_set}]."
            )
        return found

    def _current(self, stack: Stack, change_set: ChangeSet) -> ChangeSet:
        """Return a change set, which is obsolete if an operation has changed its stack."""
        if change_set.execution is ExecutionStatus.AVAILABLE and change_set.operation != stack.operation:
            return replace(change_set, execution=ExecutionStatus.OBSOLETE)
        return change_set
