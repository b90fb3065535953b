"""The stacks of a home: commands and queries."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any, NoReturn

from pipeline.base.clock import SYSTEM, Clock
from pipeline.base.errors import LockHeld
from pipeline.stacks.difference import Before, Difference
from pipeline.stacks.error import StackError
from pipeline.stacks.goals import Goals, SsmParameters, StackRequest, no_parameters
from pipeline.stacks.jobs import Claim, StackJobs
from pipeline.stacks.operation import Surroundings
from pipeline.stacks.provider import ResourceProvider, StackContext
from pipeline.stacks.records import Goal, Stack
from pipeline.stacks.resource_types import ResourceTypes
from pipeline.stacks.start import (
    USER_INITIATED,
    add_stack,
    check_updatable,
    new_stack,
    start_deletion,
    start_rollback,
    start_update,
)
from pipeline.stacks.state import StackState
from pipeline.stacks.status import StackStatus
from pipeline.stacks.store import StackStore
from pipeline.stacks.template import Evaluated, Existing
from pipeline.stacks.workers import CallThreads
from pipeline.store.database import Database

ACCOUNT = "000000000000"
NO_UPDATES = "No updates are to be performed."
# Calls to providers that one process makes at a time.
MAX_PARALLEL_CALLS = 16
KEPT = timedelta(days=90)
"""How long a stack that was deleted can still be described by its ARN."""
_NAME = re.compile(r"[a-zA-Z][-a-zA-Z0-9]{0,127}")


class Stacks:
    """Commands to the stacks of a home, and what is stored about them.

    Commands check everything that can be known, store the start of an operation, and return. The operation goes on in
    threads of this process. `by` is the user who gives a command, for the event of it. Safe to use from any thread.
    Raises `StackError` and `TemplateError` for what is not possible, and `StoreFault`.

    `types` gets this object, for types that are stacks themselves. `zones` are the names of the zones of this machine.
    `existing` returns what an owner has outside of stacks, for parameters. For `parameters` see `Goals`.
    """

    def __init__(
        self,
        database: Path,
        locks: Path,
        types: Callable[[Stacks], ResourceTypes],
        zones: Sequence[str],
        clock: Clock = SYSTEM,
        parameters: SsmParameters = no_parameters,
        existing: Callable[[str], Existing | None] = lambda _: None,
    ) -> None:
        self.clock = clock
        self.store = StackStore(Database(database))
        self.types = types(self)
        self.goals = Goals(self.store, self.types, zones, parameters, existing)
        self._workers = CallThreads(MAX_PARALLEL_CALLS, "stack-call")
        around = Surroundings(self.types, self.provider, self.goals.evaluate, self._workers, clock)
        self.jobs = StackJobs(self.store, around, locks)
        self.on_close: list[Callable[[], None]] = []
        """What is called when all operations are suspended, such as the end of what they have started."""

    def close(self, timeout: timedelta = timedelta(seconds=30)) -> None:
        """Suspend all operations, and close the database."""
        self.jobs.close(timeout)
        for end in self.on_close:
            end()
        self._workers.shutdown()
        self.store.close()

    def provider(self, stack: Stack, type_name: str) -> ResourceProvider[Any]:
        """Return the provider of a type for a stack."""
        context = StackContext(
            stack.id, stack.name, stack.owner, stack.region, ACCOUNT, stack.goal.tags, stack.goal.folder
        )
        return self.types.provider(type_name, context)

    def find(self, owner: str, name: str, message: str = "Stack with id {} does not exist") -> Stack:
        """Return a stack by name or ARN. Raises `StackError` with `message` if there is none."""
        stack = self.store.find(owner, name)
        if stack is None:
            raise StackError(message.format(name), hint="`pipeline stack list` lists them")
        return stack

    def create(
        self, owner: str, region: str, name: str, request: StackRequest, *, by: str | None = None, **options: Any
    ) -> Stack:
        """Begin to create a stack. `options` are fields of `Stack`, such as `on_failure`."""
        check_name(name)
        if self.store.find(owner, name) is not None:
            raise StackError(f"Stack [{name}] already exists", code="AlreadyExistsException")
        draft = new_stack(name, owner, region, ACCOUNT, Goal(""), self.clock, **options)
        goal, evaluated = self.goals.goal(draft, request)
        stack = replace(draft, goal=goal)
        with self.jobs.claim(stack.id) as claim:
            add_stack(self.store, stack, evaluated.imports, by)
            self.jobs.start(claim)
        self.store.forget_deleted(owner, self.clock.now().wall - KEPT)
        return stack

    def update(self, owner: str, name: str, request: StackRequest, **options: Any) -> Stack:
        """Begin to update a stack. Raises `StackError` if nothing would change."""
        stack = self.find(owner, name, "Stack [{}] does not exist")
        self._check_idle(stack, "updated")
        check_updatable(stack)
        goal, evaluated = self.goals.goal(stack, request)
        if not self.differs(stack, goal, evaluated):
            raise StackError(NO_UPDATES)
        self.start_update(stack, goal, evaluated, **options)
        return self.store.get(stack.id)

    def start_update(self, stack: Stack, goal: Goal, evaluated: Evaluated, **options: Any) -> None:
        """Begin to update a stack to a goal that was checked."""
        imports = evaluated.imports | self.goals.evaluate(stack).imports
        with self.claimed(stack, "updated") as claim:
            if claim.state.stack.operation != stack.operation:
                raise StackError(f"Stack:{stack.id} was changed by another operation", hint="try again")
            start_update(claim.state, goal, imports, **options)
            self.jobs.start(claim)

    def delete(
        self,
        owner: str,
        name: str,
        retained: Collection[str] = (),
        request_token: str | None = None,
        *,
        by: str | None = None,
    ) -> None:
        """Begin to delete a stack. Does nothing if there is none. A creation that is in progress is cancelled."""
        stack = self.store.find(owner, name)
        if stack is None or stack.deleted is not None:
            return
        if stack.status is StackStatus.CREATE_IN_PROGRESS and self.jobs.is_running(stack.id):
            if stack.termination_protection:
                raise StackError(f"Stack [{stack.name}] cannot be deleted while TerminationProtection is enabled")
            self.jobs.cancel(stack.id, "Delete requested.", by=by, delete=True)
            return
        if stack.status is not StackStatus.DELETE_IN_PROGRESS:
            with self.claimed(stack, "deleted") as claim:
                start_deletion(claim.state, retained, request_token, by=by)
                self.jobs.start(claim)

    def cancel_update(self, owner: str, name: str, *, by: str | None = None) -> None:
        """Cancel an update, which is rolled back then."""
        stack = self.find(owner, name, "Stack [{}] does not exist")
        if stack.status is not StackStatus.UPDATE_IN_PROGRESS:
            raise StackError("CancelUpdateStack cannot be called from current stack status")
        self.jobs.cancel(stack.id, USER_INITIATED, by=by)

    def cancel(self, stack: Stack, *, by: str | None = None) -> None:
        """Cancel a creation or an update, which is undone then."""
        if not stack.status.can_be_cancelled:
            raise StackError(
                f"{stack.name}: no creation or update is in progress, its state is {stack.status}",
                hint="only a creation or an update can be cancelled",
            )
        self.jobs.cancel(stack.id, USER_INITIATED, by=by)

    def continue_rollback(self, owner: str, name: str, skipped: Collection[str] = (), *, by: str | None = None) -> None:
        """Continue a rollback that has failed."""
        stack = self.find(owner, name, "Stack [{}] does not exist")
        with self.claimed(stack, "rolled back") as claim:
            start_rollback(claim.state, skipped, by=by)
            self.jobs.start(claim)

    def protect(self, owner: str, name: str, *, enabled: bool) -> Stack:
        """Enable or disable the protection of a stack against deletion."""
        stack = self.find(owner, name)
        with self.claimed(stack, "protected") as claim:
            claim.state.note(termination_protection=enabled)
            return claim.state.stack

    @contextmanager
    def claimed(self, stack: Stack, verb: str) -> Iterator[Claim]:
        """Hold the lock of a stack. `verb` is what is done to it, in the error.

        Raises `StackError` if an operation is in progress. One that was interrupted is resumed.
        """
        self._check_idle(stack, verb)
        try:
            with self.jobs.claim(stack.id) as claim:
                yield claim
        except LockHeld:
            self._refuse(stack.id, verb)

    def wait(self, stack_id: str, timeout: timedelta | None = None) -> Stack:
        """Wait until this process does not work on a stack, and return the stack."""
        self.jobs.wait(stack_id, timeout)
        return self.store.get(stack_id)

    def changes(self, stack: Stack, goal: Goal, evaluated: Evaluated) -> list[dict[str, Any]]:
        """Return the difference between a stack and a goal, in the shape of DescribeChangeSet."""
        former = self.goals.evaluate(stack) if stack.goal.template else None
        before = Before(stack.goal, former, self.store.resources(stack.id))
        return Difference(before, evaluated, goal, lambda name: self.provider(stack, name)).changes()

    def differs(self, stack: Stack, goal: Goal, evaluated: Evaluated) -> bool:
        """Return whether an update to a goal would change anything."""
        if stack.status is StackStatus.UPDATE_FAILED or self.changes(stack, goal, evaluated):
            return True
        resources = self.resource_attributes(stack.id)
        outputs = {o.name: (o.value, o.export) for o in evaluated.outputs(resources).values()}
        return outputs != {o.name: (o.value, o.export) for o in stack.outputs} or goal.tags != stack.goal.tags

    def resource_attributes(self, stack_id: str) -> Callable[[str, str | None], Any]:
        """Return what the resources of a stack are now, for templates."""
        return StackState(self.store, stack_id, self.clock).attribute

    def _check_idle(self, stack: Stack, verb: str) -> None:
        """Raise `StackError` if an operation is in progress. One that was interrupted is resumed."""
        if stack.status.in_progress:
            self.jobs.resume_one(stack.id)
            self._refuse(stack.id, verb)

    def _refuse(self, stack_id: str, verb: str) -> NoReturn:
        stack = self.store.get(stack_id)
        raise StackError(
            f"Stack:{stack.id} is in {stack.status} state and can not be {verb}.",
            hint="wait until the operation has ended",
        )


def check_name(name: str) -> None:
    """Raise `StackError` for a name that is not valid."""
    if not _NAME.fullmatch(name):
        raise StackError(
            f"1 validation error detected: Value '{name}' at 'stackName' failed to satisfy constraint: Member must"
            " satisfy regular expression pattern: [a-zA-Z][-a-zA-Z0-9]* and have a length of at most 128"
        )
