"""The work that deletes what is not kept."""

from __future__ import annotations

from pipeline.stacks.phase_work import Begun, Call, Workplace
from pipeline.stacks.plan import Action, Step, deletes
from pipeline.stacks.provider import Pending, State
from pipeline.stacks.records import StackResource
from pipeline.stacks.state import Progress
from pipeline.stacks.status import ResourceStatus, Work

R = ResourceStatus


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
