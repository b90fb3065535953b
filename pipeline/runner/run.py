"""One run, from its first event to its last."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext

from pipeline.api import NothingToDo, StageContext
from pipeline.base.errors import (
    Cancelled,
    ConfigError,
    PenstockError,
    RollbackFailed,
    RolledBack,
    Superseded,
    SystemFault,
)
from pipeline.engine.hosts import keep_tunnels
from pipeline.event_kinds import EventKind
from pipeline.events import Events
from pipeline.runner.context import PipelineContext
from pipeline.runner.delivery import Delivery
from pipeline.runner.outcome import emit_outcome
from pipeline.runner.rollback_release import rollback_release
from pipeline.runner.stage_runner import LockFactory, StageRunner
from pipeline.runner.stages import load_deployer
from pipeline.runner.submission import emit_run_state
from pipeline.store.records import Release, Run, RunKind, RunState
from pipeline.store.run_log import RunLogFile

# Seconds that reporters get to finish their requests.
_REPORTER_TIMEOUT = 10.0


class Execution:
    """The work on one run, in this process.

    `deploy_lock` keeps others off while targets move. `interrupted` returns whether a cancelled run was cancelled
    because its worker stops: such a run goes back to the queue.
    """

    def __init__(
        self,
        pipeline_context: PipelineContext,
        run: Run,
        cancelled: threading.Event | None = None,
        deploy_lock: LockFactory = nullcontext,
        interrupted: Callable[[], bool] = lambda: False,
    ) -> None:
        self._pipeline_context = pipeline_context
        self._store = pipeline_context.store
        self._run = run
        self._name = run.pipeline
        self._cancelled = cancelled or threading.Event()
        self._deploy_lock = deploy_lock
        self._interrupted = interrupted

    def execute(self) -> None:
        """Do the work of the run. Raises its error if it does not succeed."""
        events = self._pipeline_context.events(self._run.number, self._run.by)
        path = self._pipeline_context.home.run_log(self._name, self._run.number)
        with (
            self._pipeline_context.masking_errors(),
            self._with_reporters(events),
            self._record_outcome(events),
            keep_tunnels(),
            RunLogFile(path, self._pipeline_context.mask) as log,
        ):
            context = self._pipeline_context.stage_context(events, self._run.number, log, self._cancelled)
            nothing = self._work(context)
            if nothing:
                self._finish(events, RunState.SKIPPED, nothing.reason)
            else:
                self._finish(events, RunState.SUCCEEDED)

    def _work(self, context: StageContext) -> NothingToDo | None:
        stages = StageRunner(self._run, self._pipeline_context.mask, self._deploy_lock)
        match self._run.kind:
            case RunKind.RUN:
                return Delivery(self._pipeline_context, self._run, stages).deliver(context)
            case RunKind.ROLLBACK:
                self._roll_back(context, stages)
            case RunKind.SCALE | RunKind.RESTART | RunKind.DRAIN:
                self._change_replicas(context, stages)
            case RunKind.DOWN:
                stages.run(context, "deploy", load_deployer(context).down)
        return None

    def _roll_back(self, context: StageContext, stages: StageRunner) -> None:
        release = rollback_release(self._store, self._name, int(self._run.requested) if self._run.requested else None)
        self._set_revision(release)
        stages.run(context, "deploy", lambda context: load_deployer(context).rollback(context, release))

    def _change_replicas(self, context: StageContext, stages: StageRunner) -> None:
        """Scale a service of the active release, restart one or all, or drain a host."""
        release = self._store.releases.active(self._name)
        if release is not None:
            self._store.runs.set_release(self._name, self._run.number, release.number)
            self._set_revision(release)
        service, _, count = (self._run.requested or "").partition("=")

        def change(context: StageContext) -> None:
            deployer = load_deployer(context)
            if not hasattr(deployer, self._run.kind):
                raise ConfigError(
                    f"the stage of deploy.uses cannot {self._run.kind}",
                    hint="its package is of an earlier version of Penstock's interface",
                )
            if self._run.kind is RunKind.SCALE:
                deployer.scale(context, service, int(count))
            elif self._run.kind is RunKind.DRAIN:
                deployer.drain(context, service)
            else:
                deployer.restart(context, service or None)

        stages.run(context, "deploy", change)

    def _set_revision(self, release: Release) -> None:
        self._store.runs.set_revision(
            self._name,
            self._run.number,
            sha=release.sha,
            ref=f"release {release.number}",
            author="",
            subject=release.subject,
        )

    @contextmanager
    def _with_reporters(self, events: Events) -> Iterator[None]:
        """Subscribe the reporters. Blocks only on exit, for at most `_REPORTER_TIMEOUT` seconds."""
        configuration = self._pipeline_context.configuration
        if not configuration.pipeline.reporters:
            yield
            return
        from pipeline.reporters.dispatcher import ReporterDispatcher

        reporting = ReporterDispatcher(
            configuration, self._run.number, self._store, events, self._pipeline_context.clock
        )
        events.subscribe(reporting.on_event)
        try:
            yield
        finally:
            reporting.close(_REPORTER_TIMEOUT)

    @contextmanager
    def _record_outcome(self, events: Events) -> Iterator[None]:
        """Emit the start of the run, and record its end if it is an error."""
        events.emit_action(
            EventKind.RUN_STARTED, f"{self._run.kind} {self._run.number} of {self._name}", trigger=self._run.trigger
        )
        try:
            yield
        except BaseException as error:
            if isinstance(error, Cancelled) and self._interrupted():
                self._requeue(events)
                raise
            raise self._record_failure(events, error) from None

    def _requeue(self, events: Events) -> None:
        mode = self._pipeline_context.configuration.pipeline.execution_mode
        events.emit(EventKind.RUN_INTERRUPTED, f"run {self._run.number} was interrupted")
        emit_run_state(
            self._pipeline_context, self._store.queue.requeue(self._name, self._run.number, mode, counted=False)
        )

    def _record_failure(self, events: Events, error: BaseException) -> BaseException:
        """Store and emit the end of a run by an error, and return the error that the caller sees."""
        now = self._store.queue.run(self._name, self._run.number)
        if isinstance(error, Cancelled) and now.superseded_by:
            error = Superseded(f"superseded by run {now.superseded_by}")
        known = error if isinstance(error, PenstockError) else SystemFault(repr(error))
        known.mask(self._pipeline_context.mask)
        fields: dict[str, str | int | None] = {
            "code": int(known.exit_code),
            "hint": known.hint,
            "tail": "\n".join(known.tail),
        }
        if _state(error) is RunState.CANCELLED and (by := _cancelled_by(now)):
            known.message = re.sub("^cancelled", f"cancelled by {by}", known.message)
            fields["by"] = by
        self._finish(events, _state(error), known.message, **fields)
        return error

    def _finish(self, events: Events, state: RunState, reason: str = "", **fields: str | int | None) -> None:
        self._store.runs.finish(self._name, self._run.number, state, reason)
        emit_outcome(events, self._run.number, state, reason, **fields)


def _cancelled_by(run: Run) -> str | None:
    """Return the user who cancelled a run. A command that executes its run itself is cancelled by its own user."""
    return run.cancelled_by or (run.by if run.queued_at is None else None)


def _state(error: BaseException) -> RunState:
    if isinstance(error, RolledBack):
        return RunState.ROLLED_BACK
    if isinstance(error, RollbackFailed):
        return RunState.ROLLBACK_FAILED
    if isinstance(error, Superseded):
        return RunState.SUPERSEDED
    return RunState.CANCELLED if isinstance(error, Cancelled | KeyboardInterrupt) else RunState.FAILED
