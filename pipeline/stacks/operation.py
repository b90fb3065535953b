"""One operation on a stack, from its first phase to its last."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Executor, Future, wait
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeAlias

from pipeline.base.clock import Clock
from pipeline.base.errors import ConfigError
from pipeline.base.quantity import format_duration
from pipeline.stacks.deleting import Deleting
from pipeline.stacks.phase_end import PhaseEnd, failures, reason_of
from pipeline.stacks.phase_work import Call, PhaseWork, Workplace, initiate
from pipeline.stacks.plan import Step, current_resources, ready
from pipeline.stacks.provider import Pending, ResourceProvider, State
from pipeline.stacks.putting import Putting
from pipeline.stacks.records import Stack, StackEvent
from pipeline.stacks.resource_types import ResourceTypes
from pipeline.stacks.restoring import Restoring
from pipeline.stacks.state import Progress, StackState
from pipeline.stacks.status import PHASES, Phase, ResourceStatus, Work
from pipeline.stacks.template import Evaluated

Result: TypeAlias = "State | Pending | None"
_IDLE = timedelta(hours=1)
_CANCELLED = {True: "Resource creation cancelled", False: "Resource update cancelled"}


@dataclass(frozen=True)
class Surroundings:
    """What an operation uses of its process. `workers` make the calls to providers."""

    types: ResourceTypes
    provider: Callable[[Stack, str], ResourceProvider[Any]]
    evaluate: Callable[[Stack], Evaluated]
    workers: Executor
    clock: Clock


@dataclass
class _Running:
    step: Step
    call: Call
    deadline: float | None = None
    due: float | None = None
    """When a pending call is to be repeated. None while it is being made."""
    future: Future[Result] | None = None
    otherwise: Callable[[], State] | None = None
    """What to call once nothing else is in progress, if the call waits for what others bring about."""
    repeated: bool = False
    """Whether the call was repeated since anything else has happened."""


class StackOperation:
    """Carries out the operation that the status of a stack names, in the thread that calls `run`.

    Every step is on disk before it is made, so an operation that was interrupted is continued by another one.
    """

    def __init__(self, state: StackState, around: Surroundings) -> None:
        self._state = state
        self._around = around
        self._clock = around.clock
        self._place = Workplace(state, around.types, lambda name: around.provider(state.stack, name), around.clock)
        self._end = PhaseEnd(state, around.evaluate, around.clock)
        self._wake = threading.Event()
        self._results: queue.SimpleQueue[tuple[str, Future[Result]]] = queue.SimpleQueue()
        self._running: dict[str, _Running] = {}
        self._failed: dict[str, Step] = {}
        self._cancel: Mapping[str, Any] | None = None
        self._stopping = False
        self._ending = False
        self.noted = threading.Event()

    def run(self) -> Stack:
        """Work until no phase is left, or until `suspend`. Raises `StoreFault`."""
        try:
            while not self._ending and (phase := PHASES.get(self._state.stack.status)):
                self._run_phase(phase)
        finally:
            # After an error, the next process must not meet calls of this one.
            wait([running.future for running in self._running.values() if running.future])
            self.noted.set()
        return self._state.stack

    def cancel(self, reason: str, **changes: Any) -> None:
        """Let the operation fail, from any thread. Calls that are being made are waited for.

        `changes` are fields of the stack to set. `noted` is set when that is on disk, or when the operation has ended.
        """
        self._cancel = {"cancelled": reason, **changes}
        self._wake.set()

    def suspend(self) -> None:
        """End `run` after the calls that are being made, from any thread. The next process continues."""
        self._ending = True
        self._wake.set()

    def _run_phase(self, phase: Phase) -> None:
        self._failed, self._stopping = {}, False
        try:
            work = self._work(phase.work)
        except ConfigError as error:
            # The template was valid when the operation began. What it imports may be gone since.
            self._end.fail(phase, reason_of(error))
            return
        while True:
            self._check_limits(phase)
            if not self._stopping and not self._ending:
                self._start(phase, work)
            if self._stopping:
                self._cancel_pending()
            if not any(running.due is None or not self._ending for running in self._running.values()):
                break
            self._wait(phase)
        if self._ending and not self._stopping and work.steps():
            self._running.clear()
            return
        self._finish(phase, work)

    def _work(self, work: Work) -> PhaseWork:
        if work is Work.RESTORE:
            return Restoring(self._place)
        if work is Work.PUT:
            return Putting(self._place, self._around.evaluate(self._state.stack))
        wanted = self._around.evaluate(self._state.stack).order if work is Work.CLEAN_UP else ()
        return Deleting(self._place, work, frozenset(wanted))

    def _check_limits(self, phase: Phase) -> None:
        """Stop if the operation was cancelled, or if its time is over."""
        cancel, self._cancel = self._cancel, None
        if cancel is not None:
            self._state.note(**cancel)
            self.noted.set()
        if phase.work is not Work.PUT:
            return
        if self._time_left() < 0:
            self._state.note(cancelled="Stack creation time exceeded the specified timeout.", cancelled_by=None)
        self._stopping = self._stopping or self._state.stack.cancelled is not None

    def _time_left(self) -> float:
        """Return the seconds until the stack's own timeout, which counts in the creation only."""
        stack = self._state.stack
        if stack.timeout is None or stack.cancelled is not None or PHASES[stack.status].work is not Work.PUT:
            return _IDLE.total_seconds()
        return stack.timeout - self._clock.since(stack.since).total_seconds()

    # Steps

    def _start(self, phase: Phase, work: PhaseWork) -> None:
        """Begin all steps that are ready. A step without a call may make others ready."""
        is_progressing = True
        while is_progressing and not self._stopping:
            changes, started = list[Progress](), list[_Running]()
            is_progressing = False
            for step in ready(work.steps(), self._running, self._failed, self._yielding()):
                try:
                    begun = work.begin(step)
                except ConfigError as error:
                    changes.append(self._refuse(phase, step, reason_of(error)))
                    continue
                changes.append(begun.progress)
                if begun.call is None:
                    is_progressing = True
                else:
                    started.append(_Running(step, begun.call))
            if any(change != Progress() for change in changes):
                self._state.record(changes)
            for running in started:
                self._running[running.step.key] = running
                self._invoke(running, running.call.invoke)
            if started:
                self._note_change()

    def _refuse(self, phase: Phase, step: Step, reason: str) -> Progress:
        """Return the event of a step that cannot begin, because its values cannot be computed."""
        self._note_failure(phase, step)
        current = current_resources(self._state.resources).get(step.logical_id)
        status = ResourceStatus.UPDATE_FAILED if current else ResourceStatus.CREATE_FAILED
        kind = self._around.evaluate(self._state.stack).resources[step.logical_id].type
        physical_id = current.physical_id or "" if current else ""
        event = StackEvent(self._clock.now(), step.logical_id, kind, status, reason, physical_id)
        return Progress(events=(event,))

    def _yielding(self) -> list[str]:
        """Return the updates that wait for others. What depends on them uses what they were before."""
        return [key for key, each in self._running.items() if each.otherwise and self._is_update(each)]

    def _is_update(self, running: _Running) -> bool:
        return self._state.resource(running.call.token).definition is not None

    def _note_change(self) -> None:
        """Let every call that waits for others be repeated before it is given up."""
        for running in self._running.values():
            running.repeated = False

    def _is_stuck(self) -> bool:
        """Return whether all that is in progress waits for something that nothing else will bring about."""
        return all(each.otherwise and each.repeated and each.due is not None for each in self._running.values())

    def _invoke(self, running: _Running, call: Callable[[], Result]) -> None:
        running.due = None
        running.future = self._around.workers.submit(call)
        running.future.add_done_callback(lambda done: self._report(running.step.key, done))

    def _report(self, key: str, done: Future[Result]) -> None:
        self._results.put((key, done))
        self._wake.set()

    def _wait(self, phase: Phase) -> None:
        """Wait for the end of a call, or until a pending one is due. Store what has ended."""
        if self._is_stuck() and not self._ending:
            for running in self._running.values():
                assert running.otherwise is not None
                self._invoke(running, running.otherwise)
        if self._results.empty():
            dues = [running.due - self._clock.monotonic() for running in self._running.values() if running.due]
            self._clock.wait(self._wake, timedelta(seconds=max(min([*dues, self._time_left()]), 0)))
        self._wake.clear()
        changes = list[Progress]()
        while not self._results.empty():
            key, future = self._results.get()
            changes.append(self._take(phase, self._running[key], future))
        if changes:
            self._state.record(changes)
        for running in self._running.values():
            if running.due is not None and running.due <= self._clock.monotonic() and not self._ending:
                self._invoke(running, running.call.invoke)

    def _take(self, phase: Phase, running: _Running, future: Future[Result]) -> Progress:
        """Return what the end of a call changes. A call that is pending is repeated later."""
        error = future.exception()
        if error is not None and not isinstance(error, Exception):
            raise error
        if error is not None:
            return self._give_up(phase, running, reason_of(error))
        result = future.result()
        if not isinstance(result, Pending):
            del self._running[running.step.key]
            self._note_change()
            return running.call.succeed(result)
        now = self._clock.monotonic()
        if result.otherwise and running.otherwise:
            running.repeated = True
        elif result.otherwise or running.otherwise:
            self._note_change()
        running.otherwise = result.otherwise
        # What waits for others has their deadlines.
        running.deadline = None if result.otherwise else running.deadline or now + result.timeout.total_seconds()
        running.due = now + result.interval.total_seconds()
        resource = self._state.resource(running.call.token)
        named = initiate(resource, result.physical_id, self._clock)
        if running.deadline is not None and now >= running.deadline:
            reason = f"not complete after {format_duration(result.timeout)}"
            # The failure must not overwrite the id that this call has told.
            self._state.record([named])
            return self._give_up(phase, running, f"{reason}: {result.reason}" if result.reason else reason)
        return named

    def _give_up(self, phase: Phase, running: _Running, reason: str) -> Progress:
        del self._running[running.step.key]
        self._note_change()
        self._note_failure(phase, running.step)
        return running.call.fail(reason)

    def _note_failure(self, phase: Phase, step: Step) -> None:
        self._failed[step.key] = step
        # Deleting goes on with what does not depend on the failure.
        self._stopping = self._stopping or phase.work in {Work.PUT, Work.RESTORE}

    def _cancel_pending(self) -> None:
        """Give up the calls that are pending. The rollback finds what they have made."""
        changes = []
        for key, running in list(self._running.items()):
            if running.due is not None:
                del self._running[key]
                self._failed[key] = running.step
                is_new = self._state.resource(running.call.token).definition is None
                changes.append(running.call.fail(_CANCELLED[is_new]))
        if changes:
            self._state.record(changes)

    def _finish(self, phase: Phase, work: PhaseWork) -> None:
        if self._failed or self._stopping:
            failed = failures(self._failed.values(), current_resources(self._state.resources))
            reason = " ".join(filter(None, (failed, self._state.stack.cancelled)))
            self._end.fail(phase, reason, work.steps())
        else:
            self._end.succeed(phase)
