"""One stack with its resources, as the process that works on it sees them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pipeline.base.clock import Clock, Stamp
from pipeline.stacks.plan import current_resources
from pipeline.stacks.records import STACK_TYPE, ChangeSet, Stack, StackEvent, StackResource
from pipeline.stacks.status import ResourceStatus, StackStatus
from pipeline.stacks.store import StackChange, StackStore
from pipeline.stacks.template import JSON, Unknown


@dataclass(frozen=True)
class Progress:
    """What a step has changed: resources that are new or differ, tokens of those that are gone, and events."""

    resources: tuple[StackResource, ...] = ()
    dropped: tuple[str, ...] = ()
    events: tuple[StackEvent, ...] = ()


class StackState:
    """A stack and its resources. Only one process has the state of a stack, in one thread.

    `record` and `move` write to the disk first.
    """

    def __init__(self, store: StackStore, stack_id: str, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self.stack = store.get(stack_id)
        self._resources = {resource.token: resource for resource in store.resources(stack_id)}

    @property
    def resources(self) -> list[StackResource]:
        """All resources in the order in which they were made."""
        return list(self._resources.values())

    def resource(self, token: str) -> StackResource:
        """Return a resource that exists."""
        return self._resources[token]

    def record(self, changes: Collection[Progress]) -> None:
        """Store what some steps have changed."""
        merged = Progress(
            tuple(resource for change in changes for resource in change.resources),
            tuple(token for change in changes for token in change.dropped),
            tuple(event for change in changes for event in change.events),
        )
        self._commit(StackChange(self.stack, merged.resources, merged.dropped, merged.events))

    def move(
        self,
        status: StackStatus,
        reason: str = "",
        *,
        by: str | None = None,
        resources: Sequence[StackResource] = (),
        exports: Mapping[str, str] | None = None,
        imports: frozenset[str] | None = None,
        change_sets: tuple[ChangeSet, ...] = (),
        **changes: Any,
    ) -> None:
        """Give the stack a status and other `changes`, with the event of it. `by` is the user who has requested it.

        Raises `StackError` if its exports are not possible, and changes nothing.
        """
        now = self._clock.now()
        stack = replace(self.stack, status=status, reason=reason, since=now, **changes)
        events = (stack_event(stack, now, by),)
        self._commit(
            StackChange(
                stack,
                tuple(resources),
                events=events,
                exports=exports,
                imports=imports,
                change_sets=change_sets,
            )
        )

    def now(self) -> Stamp:
        """Return the current time."""
        return self._clock.now()

    def note(self, **changes: Any) -> None:
        """Change fields of the stack without an event."""
        self._commit(StackChange(replace(self.stack, **changes)))

    def attribute(self, name: str, attribute: str | None) -> JSON:
        """Return an attribute of a resource, or its physical id. The `Attributes` of the template language."""
        return attribute_of(current_resources(self.resources).get(name), attribute)

    def _commit(self, change: StackChange) -> None:
        self._store.commit(change)
        self.stack = change.stack
        for token in change.dropped:
            self._resources.pop(token, None)
        for resource in change.resources:
            self._resources[resource.token] = resource


def attribute_of(resource: StackResource | None, attribute: str | None) -> JSON:
    """Return an attribute of a resource, or its physical id. Raises `Unknown` and `KeyError`."""
    if resource is None or resource.definition is None:
        raise Unknown
    if attribute is None:
        return resource.physical_id
    if resource.ignored:
        return f"{resource.physical_id}.{attribute}"
    found: JSON = resource.attributes[attribute]
    return found


def stack_event(stack: Stack, now: Stamp, by: str | None = None) -> StackEvent:
    """Return the event of a stack that has just got its status."""
    return StackEvent(
        now, stack.name, STACK_TYPE, stack.status, stack.reason, stack.id, request_token=stack.request_token, by=by
    )


def resource_event(resource: StackResource, now: Stamp, status: ResourceStatus | None = None) -> StackEvent:
    """Return the event of a resource that has just got its status, or of another one."""
    definition = resource.target or resource.known
    return StackEvent(
        now,
        resource.logical_id,
        definition.type,
        status or resource.status,
        resource.reason,
        resource.physical_id or "",
        definition.properties,
    )
