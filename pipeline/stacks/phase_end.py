"""The end of a phase: what follows it, and what it changes in the stack."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import structlog

from pipeline.base.clock import Clock
from pipeline.base.errors import ConfigError, PenstockError
from pipeline.stacks.plan import Action, Step
from pipeline.stacks.records import Stack, StackOutput, StackResource, Standing
from pipeline.stacks.state import StackState
from pipeline.stacks.status import KEPT_AFTER_FAILURE, Phase, StackStatus, Work
from pipeline.stacks.template import Evaluated

_logger = structlog.get_logger(__name__)
_AFTER_CLEANUP = frozenset({StackStatus.UPDATE_COMPLETE, StackStatus.UPDATE_ROLLBACK_COMPLETE})


class PhaseEnd:
    """Moves a stack from a phase to what follows it."""

    def __init__(self, state: StackState, evaluate: Callable[[Stack], Evaluated], clock: Clock) -> None:
        self._state = state
        self._evaluate = evaluate
        self._clock = clock

    def succeed(self, phase: Phase) -> None:
        """Move to what follows a phase that has done all of its steps. Raises `StoreFault`."""
        try:
            self._state.move(phase.succeeded, **self._successes(phase.work))
        except ConfigError as error:
            # An output cannot be computed, or an export belongs to another stack.
            self.fail(phase, reason_of(error))

    def fail(self, phase: Phase, reason: str, left: Sequence[Step] = ()) -> None:
        """Move to what follows a phase that has failed. `left` are the steps that it could not do."""
        stack, status = self._state.stack, phase.failed
        # Else the phase has failed without a user, such as for its timeout.
        changes: dict[str, Any] = {"by": stack.cancelled_by if phase.work is Work.PUT and stack.cancelled else None}
        if phase.work is Work.PUT and stack.on_failure == "DO_NOTHING" and stack.cancelled is None:
            status = KEPT_AFTER_FAILURE[stack.status]
        elif phase.work is Work.PUT and stack.on_failure == "DELETE":
            status = StackStatus.DELETE_IN_PROGRESS
        elif status is StackStatus.ROLLBACK_IN_PROGRESS:
            reason = f"{reason} Rollback requested by user."
        if phase.work in {Work.CLEAN_UP, Work.UNDO}:
            # Not only what has failed: what it uses could not be tried.
            changes["resources"] = [replace(s.resource, standing=Standing.LEFTOVER) for s in left if s.resource]
        if status in _AFTER_CLEANUP:
            changes["imports"] = self._evaluate(stack).imports
        self._state.move(status, reason, **changes)

    def _successes(self, work: Work) -> dict[str, Any]:
        """Return what a phase that has succeeded changes in its stack."""
        stack = self._state.stack
        if work is Work.PUT:
            return self._reached()
        if work is Work.RESTORE:
            return {"goal": stack.former or stack.goal, "former": None, "skipped": (), "cancelled": None}
        if work is Work.DELETE:
            return {"deleted": self._clock.now(), "exports": {}, "imports": frozenset(), "cancelled": None}
        if stack.status is StackStatus.ROLLBACK_IN_PROGRESS:
            return {"imports": frozenset(), "cancelled": None}
        return {"imports": self._evaluate(stack).imports}

    def _reached(self) -> dict[str, Any]:
        """Return what changes when a stack has reached its goal. Raises `TemplateError` for its outputs."""
        stack = self._state.stack
        evaluated = self._evaluate(stack)
        outputs = tuple(
            StackOutput(output.name, output.value, output.description, output.export)
            for output in evaluated.outputs(self._state.attribute).values()
        )
        return {
            "outputs": outputs,
            "exports": {output.export: output.value for output in outputs if output.export is not None},
            "imports": evaluated.imports,
            "stable": stack.operation,
            "former": None,
            "resources": [replace(r, former=None) for r in self._state.resources if r.former],
        }


def failures(failed: Iterable[Step], current: Mapping[str, StackResource]) -> str:
    """Return the failed resources in the words of CloudFormation."""
    groups: dict[str, list[str]] = {}
    for step in failed:
        verb = "delete" if step.action is Action.DELETE else "update" if step.logical_id in current else "create"
        groups.setdefault(verb, []).append(step.logical_id)
    return " ".join(
        f"The following resource(s) failed to {verb}: [{', '.join(sorted(names))}]."
        for verb, names in sorted(groups.items())
    )


def reason_of(error: Exception) -> str:
    """Return the reason of a failed call, for events."""
    if isinstance(error, PenstockError):
        # An error of a template has its reason in AWS's words, without the place.
        return str(getattr(error, "reason", error.message))
    if message := getattr(error, "message", None):
        # An error of one of AWS's operations.
        return f"{message} (Error Code: {getattr(error, 'code', 'unknown')})"
    _logger.error("call failed", exc_info=error)
    return f"internal failure: {type(error).__name__}: {error}"
