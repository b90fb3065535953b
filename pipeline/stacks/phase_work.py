"""What the phases of an operation do with one resource: the calls to its provider, and what they change on disk."""

from __future__ import annotations

import hashlib
from base64 import b32encode
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Protocol

from pydantic import ValidationError

from pipeline.base.clock import Clock
from pipeline.base.errors import ConfigError
from pipeline.base.schema import Model
from pipeline.stacks.plan import Action, Change, Step, change_of, current_resources, deletes, puts, restores
from pipeline.stacks.provider import RANDOM_PART, Pending, ResourceProvider, State
from pipeline.stacks.records import Definition, StackResource, Standing
from pipeline.stacks.resource_types import ResourceTypes
from pipeline.stacks.state import Progress, StackState, resource_event
from pipeline.stacks.status import ResourceStatus, Work
from pipeline.stacks.template import Evaluated

REPLACING = "Requested update requires the creation of a new physical resource; hence creating one."
INITIATED = "Resource creation Initiated"
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


class Putting:
    """Creates, updates and replaces resources until they are as the template says."""

    def __init__(self, place: Workplace, evaluated: Evaluated) -> None:
        self._place = place
        self._state = place.state
        self._evaluated = evaluated
        self._wanted = {name: evaluated.resources[name].depends_on for name in evaluated.order}

    def steps(self) -> list[Step]:
        """Return the steps that are left."""
        return puts(self._wanted, self._state.resources, self._state.stack.operation)

    def begin(self, step: Step) -> Begun:
        """Begin to create, update or replace a resource, or continue with that."""
        name = step.logical_id
        if step.resource is not None:
            return Begun(Progress(), self._create_call(step.resource))
        current = current_resources(self._state.resources).get(name)
        wanted = self._definition(name)
        match change_of(current, wanted, self._place.provider(wanted.type).replaces):
            case Change.CREATE:
                return self._begin_create(name, wanted, R.CREATE_IN_PROGRESS, "")
            case Change.REPLACE:
                return self._begin_create(name, wanted, R.UPDATE_IN_PROGRESS, REPLACING)
            case Change.UPDATE:
                assert current is not None
                return self._begin_update(current, wanted)
            case change:
                assert current is not None
                return Begun(
                    Progress((self._adopt(current, wanted) if change is Change.ADOPT else self._settle(current),))
                )

    def _definition(self, name: str) -> Definition:
        declared = self._evaluated.resources[name]
        properties = self._evaluated.resolve(name, self._state.attribute)
        return Definition(
            declared.type,
            normalize(self._place.provider(declared.type), properties),
            tuple(declared.depends_on),
            declared.deletion_policy,
            declared.update_replace_policy,
            declared.metadata,
        )

    def _begin_create(self, name: str, wanted: Definition, status: ResourceStatus, reason: str) -> Begun:
        stack, now = self._state.stack, self._place.clock.now()
        resource = StackResource(
            token=token_of(stack.id, stack.name, name, stack.operation),
            logical_id=name,
            standing=Standing.NEW,
            status=status,
            since=now,
            created_in=stack.operation,
            reason=reason,
            target=wanted,
            ignored=self._place.types.is_ignored(wanted.type),
        )
        return Begun(Progress((resource,), events=(resource_event(resource, now),)), self._create_call(resource))

    def _create_call(self, resource: StackResource) -> Call:
        assert resource.target is not None
        provider, token, properties = (
            self._place.provider(resource.target.type),
            resource.token,
            resource.target.properties,
        )
        failed = R.UPDATE_FAILED if resource.status is R.UPDATE_IN_PROGRESS else R.CREATE_FAILED
        return Call(
            resource.logical_id,
            token,
            lambda: provider.create(token, parse(provider, properties)),
            lambda state: self._created(token, state),
            lambda reason: self._place.set_status(self._state.resource(token), failed, reason),
        )

    def _created(self, token: str, state: State | None) -> Progress:
        assert state is not None
        resource = self._state.resource(token)
        complete = R.UPDATE_COMPLETE if resource.status is R.UPDATE_IN_PROGRESS else R.CREATE_COMPLETE
        named = initiate(resource, state.physical_id, self._place.clock)
        done = self._place.set_status(
            named.resources[0] if named.resources else resource,
            complete,
            state.reason,
            standing=Standing.CURRENT,
            physical_id=state.physical_id,
            attributes=state.attributes,
            definition=resource.target,
            target=None,
            settled_in=self._state.stack.operation,
        )
        former = current_resources(self._state.resources).get(resource.logical_id)
        replaced = (replace(former, standing=Standing.REPLACED),) if former else ()
        return Progress((*replaced, *done.resources), events=(*named.events, *done.events))

    def _begin_update(self, resource: StackResource, wanted: Definition) -> Begun:
        progress = self._place.set_status(
            resource, R.UPDATE_IN_PROGRESS, target=wanted, former=resource.former or resource.definition
        )
        return Begun(
            progress,
            self._place.update_call(progress.resources[0], resource.logical_id, self._succeed_update(resource.token)),
        )

    def _succeed_update(self, token: str) -> Callable[[State | None], Progress]:
        def succeed(state: State | None) -> Progress:
            assert state is not None
            resource = self._state.resource(token)
            return self._place.set_status(
                resource,
                R.UPDATE_COMPLETE,
                state.reason,
                attributes=state.attributes,
                definition=resource.target,
                target=None,
                settled_in=self._state.stack.operation,
            )

        return succeed

    def _adopt(self, resource: StackResource, wanted: Definition) -> StackResource:
        return replace(self._settle(resource), definition=wanted, former=resource.former or resource.definition)

    def _settle(self, resource: StackResource) -> StackResource:
        return replace(resource, settled_in=self._state.stack.operation)


class Restoring:
    """Brings resources back to what they were before an update. Nothing has been deleted yet."""

    def __init__(self, place: Workplace) -> None:
        self._place = place
        self._state = place.state

    def steps(self) -> list[Step]:
        """Return the steps that are left."""
        return restores(self._state.resources, self._state.stack.stable)

    def begin(self, step: Step) -> Begun:
        """Begin to bring a resource back."""
        resource = step.resource
        assert resource is not None
        former = resource.former or resource.known
        skipped = resource.logical_id in self._state.stack.skipped
        # An update that was cut short or has failed may have had a part of its effect.
        is_certain = resource.status not in {R.UPDATE_IN_PROGRESS, R.UPDATE_FAILED}
        present = resource.known if resource.target is None or resource.target == former else resource.target
        if skipped or (is_certain and former.properties == resource.known.properties):
            return Begun(self._restored(resource.token, None))
        progress = self._place.set_status(resource, R.UPDATE_IN_PROGRESS, definition=present, target=former)
        call = self._place.update_call(
            progress.resources[0], resource.token, lambda state: self._restored(resource.token, state)
        )
        return Begun(progress, call)

    def _restored(self, token: str, state: State | None) -> Progress:
        resource = self._state.resource(token)
        changes: dict[str, Any] = {"attributes": state.attributes} if state else {}
        former = resource.former or resource.known
        done = self._place.set_status(
            resource,
            R.UPDATE_COMPLETE,
            standing=Standing.CURRENT,
            definition=former,
            target=None,
            former=None,
            **changes,
        )
        other = current_resources(self._state.resources).get(resource.logical_id)
        replaced = (replace(other, standing=Standing.REPLACED),) if other and other.token != token else ()
        # What only adopted another policy has no event, as it had none before.
        silent = resource.standing is Standing.CURRENT and state is None and resource.status is not R.UPDATE_FAILED
        return Progress((*replaced, *done.resources), events=() if silent else done.events)


class Deleting:
    """Deletes what is not kept."""

    def __init__(self, place: Workplace, work: Work, wanted: frozenset[str]) -> None:
        self._place = place
        self._state = place.state
        self._work = work
        self._wanted = wanted

    def steps(self) -> list[Step]:
        """Return the steps that are left."""
        stack = self._state.stack
        return deletes(self._work, self._state.resources, stack.stable, self._wanted, stack.retained)

    def begin(self, step: Step) -> Begun:
        """Begin to delete a resource, or give it up."""
        resource = step.resource
        assert resource is not None
        if step.action is Action.RETAIN:
            skipped = self._place.set_status(resource, R.DELETE_SKIPPED)
            return Begun(Progress(dropped=(resource.token,), events=skipped.events))
        progress = self._place.set_status(resource, R.DELETE_IN_PROGRESS)
        return Begun(progress, self._call(progress.resources[0]))

    def _call(self, resource: StackResource) -> Call:
        token, provider = resource.token, self._place.provider(resource.known.type)

        def invoke() -> Pending | None:
            # Without an id, the create was cut short. It may have made something.
            physical_id = resource.physical_id or provider.find(token)
            return None if physical_id is None else provider.delete(physical_id)

        def succeed(_: State | None) -> Progress:
            done = self._place.set_status(self._state.resource(token), R.DELETE_COMPLETE)
            return Progress(dropped=(token,), events=done.events)

        return Call(
            token,
            token,
            invoke,
            succeed,
            lambda reason: self._place.set_status(self._state.resource(token), R.DELETE_FAILED, reason),
        )


def initiate(resource: StackResource, physical_id: str | None, clock: Clock) -> Progress:
    """Return what changes when a new resource gets its physical id, or nothing if it had it."""
    if physical_id is None or resource.physical_id == physical_id or resource.definition is not None:
        return Progress()
    named = replace(resource, physical_id=physical_id, reason=INITIATED)
    return Progress((named,), events=(resource_event(named, clock.now()),))


def token_of(stack_id: str, stack: str, logical_id: str, operation: int) -> str:
    """Return the token for what an operation creates under a name. It is the same after a crash."""
    digest = hashlib.sha256(f"{stack_id}\0{logical_id}\0{operation}".encode()).digest()
    return f"{stack}-{logical_id}-{b32encode(digest)[: RANDOM_PART - 1].decode()}"


def parse(provider: ResourceProvider[Any], properties: object) -> Model:
    """Return properties in the form of their provider. Raises `ConfigError` in AWS's words."""
    try:
        found: Model = provider.properties.model_validate(properties)
    except ValidationError as error:
        raise ConfigError(_format(error)) from None
    return found


def normalize(provider: ResourceProvider[Any], properties: object) -> dict[str, Any]:
    """Return properties as they are stored: `80` and `"80"` are equal where the type is a number."""
    return parse(provider, properties).model_dump(mode="json", by_alias=True, exclude_unset=True)


def _format(error: ValidationError) -> str:
    lines = list[str]()
    for found in error.errors():
        *parents, last = ("", *map(str, found["loc"]))
        place = "#" + "/".join(parents)
        if found["type"] == "extra_forbidden":
            lines.append(f"{place}: extraneous key [{last}] is not permitted")
        elif found["type"] == "missing":
            lines.append(f"{place}: required key [{last}] not found")
        else:
            lines.append(f"#{'/'.join((*parents, last))}: {found['msg'].removeprefix('Value error, ')}")
    return "Properties validation failed: " + "; ".join(dict.fromkeys(lines))
