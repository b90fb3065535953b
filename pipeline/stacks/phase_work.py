"""What the work of all phases has in common: steps that begin, and the calls to providers that end them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Protocol

from pipeline.base.clock import Clock
from pipeline.stacks.plan import Step
from pipeline.stacks.properties import parse
from pipeline.stacks.provider import Pending, ResourceProvider, State
from pipeline.stacks.records import StackResource
from pipeline.stacks.resource_types import ResourceTypes
from pipeline.stacks.state import Progress, StackState, resource_event
from pipeline.stacks.status import ResourceStatus

_INITIATED = "Resource creation Initiated"
R = ResourceStatus


@dataclass(frozen=True)
class Call:
    """A call to a provider, which is repeated while it is pending. `succeed` and `fail` say what its end changes."""

    key: str
    token: str
    invoke: Callable[[], State | Pending | None]
    succeed: Callable[[State | None], Progress]
    fail: Callable[[str], Progress]


@dataclass(frozen=True)
class Begun:
    """A step that begins. `progress` is stored before `call` is made. Without a call, the step is done."""

    progress: Progress
    call: Call | None = None


class PhaseWork(Protocol):
    """The work of one phase."""

    def steps(self) -> list[Step]:
        """Return the steps that are left."""

    def begin(self, step: Step) -> Begun:
        """Return what a step does first. Raises `ConfigError` if its values cannot be computed."""


@dataclass(frozen=True)
class Workplace:
    """What the work of all phases needs."""

    state: StackState
    types: ResourceTypes
    provider: Callable[[str], ResourceProvider[Any]]
    clock: Clock

    def set_status(self, resource: StackResource, status: ResourceStatus, reason: str = "", **changes: Any) -> Progress:
        """Return a resource with a new status and its event."""
        now = self.clock.now()
        changed = replace(resource, status=status, reason=reason, since=now, **changes)
        return Progress((changed,), events=(resource_event(changed, now),))

    def update_call(self, resource: StackResource, key: str, succeed: Callable[[State | None], Progress]) -> Call:
        """Return the call that updates a resource to its target."""
        target, physical_id = resource.target, resource.physical_id
        assert target is not None
        assert resource.definition is not None
        assert physical_id is not None
        provider = self.provider(target.type)
        before, after = resource.definition.properties, target.properties
        return Call(
            key,
            resource.token,
            lambda: provider.update(physical_id, parse(provider, before), parse(provider, after)),
            succeed,
            lambda reason: self.set_status(self.state.resource(resource.token), R.UPDATE_FAILED, reason),
        )


def initiate(resource: StackResource, physical_id: str | None, clock: Clock) -> Progress:
    """Return what changes when a new resource gets its physical id, or nothing if it had it."""
    if physical_id is None or resource.physical_id == physical_id or resource.definition is not None:
        return Progress()
    named = replace(resource, physical_id=physical_id, reason=_INITIATED)
    return Progress((named,), events=(resource_event(named, clock.now()),))
