"""The work that brings resources to a template: create, update, replace."""

from __future__ import annotations

import hashlib
from base64 import b32encode
from collections.abc import Callable
from dataclasses import replace

from pipeline.stacks.phase_work import Begun, Call, Workplace, initiate
from pipeline.stacks.plan import Change, Step, change_of, current_resources, puts
from pipeline.stacks.properties import normalize, parse
from pipeline.stacks.provider import RANDOM_PART, State
from pipeline.stacks.records import Definition, StackResource, Standing
from pipeline.stacks.state import Progress, resource_event
from pipeline.stacks.status import ResourceStatus
from pipeline.stacks.template import Evaluated

_REPLACING = "Requested update requires the creation of a new physical resource; hence creating one."
R = ResourceStatus


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
                return self._begin_create(name, wanted, R.UPDATE_IN_PROGRESS, _REPLACING)
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


def token_of(stack_id: str, stack: str, logical_id: str, operation: int) -> str:
    """Return the token for what an operation creates under a name. It is the same after a crash."""
    digest = hashlib.sha256(f"{stack_id}\0{logical_id}\0{operation}".encode()).digest()
    return f"{stack}-{logical_id}-{b32encode(digest)[: RANDOM_PART - 1].decode()}"
