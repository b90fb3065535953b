"""The work of a rollback of an update: bring back what was there before."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from pipeline.stacks.phase_work import Begun, Workplace
from pipeline.stacks.plan import Step, current_resources, restores
from pipeline.stacks.provider import State
from pipeline.stacks.records import Standing
from pipeline.stacks.state import Progress
from pipeline.stacks.status import ResourceStatus

R = ResourceStatus


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
