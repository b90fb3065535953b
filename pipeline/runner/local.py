"""Runs that a command executes itself: one at a time for each pipeline, without waiting in the queue."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta

from pipeline.base.clock import Clock, SystemClock
from pipeline.base.errors import ConfigError, LockHeld, SystemFault
from pipeline.base.home import Home
from pipeline.base.lock import WAIT_HINT, work_lock
from pipeline.config.load import Configuration
from pipeline.event_kinds import EventKind
from pipeline.events import Listener
from pipeline.runner.context import PipelineContext
from pipeline.runner.deployment_answer import ways_to_end
from pipeline.runner.history import prune
from pipeline.runner.outcome import emit_missing_outcomes
from pipeline.runner.ownership import check_owner, set_owner
from pipeline.runner.plan import plan_run
from pipeline.runner.recovery import needs_recovery, recover
from pipeline.runner.run import Execution
from pipeline.runner.status import is_held
from pipeline.runner.submission import emit_overtaken
from pipeline.store.queue import RunRequest
from pipeline.store.records import DeploymentState, Run, RunKind, RunOptions, Trigger
from pipeline.store.store import Store


class Runner:
    """Executes a pipeline. Listeners get every event. Setting `cancelled` stops the run in order.

    `parameters` are those of the command line, with which `configuration` was loaded. `by` is the user of the command.
    """

    def __init__(
        self,
        home: Home,
        configuration: Configuration,
        store: Store,
        listeners: Sequence[Listener] = (),
        cancelled: threading.Event | None = None,
        clock: Clock | None = None,
        parameters: Mapping[str, str] | None = None,
        by: str | None = None,
    ) -> None:
        self._pipeline_context = PipelineContext(
            home, configuration, store, listeners, parameters or {}, clock=clock or SystemClock(), by=by
        )
        self._cancelled = cancelled or threading.Event()
        self._name = configuration.pipeline.name

    def run(
        self,
        requested: str | None = None,
        *,
        force: bool = False,
        pull: bool = False,
        no_cache: bool = False,
        take_over: bool = False,
        wait: timedelta = timedelta(0),
    ) -> Run:
        """Run Source, Build and Deploy. The run is `skipped` if there is nothing to do. Raises the run's error.

        `pull` and `no_cache` are those of `RunOptions`. `take_over` takes over the pipeline of this name if another
        file declares it.
        """
        # Stored with the parameters of the command line, because the daemon may have to continue its deployment.
        given = self._pipeline_context.parameters or None
        options = RunOptions(parameters=given, force=force, pull=pull, no_cache=no_cache)
        request = RunRequest(Trigger.COMMAND, requested, options=options)
        return self._work(request, wait, take_over=take_over)

    def rollback(self, number: int | None = None, *, wait: timedelta = timedelta(0)) -> Run:
        """Roll back to release `number`, or to the one before the active one."""
        return self._work(RunRequest(Trigger.COMMAND, str(number) if number else None, RunKind.ROLLBACK), wait)

    def scale(self, wanted: str, *, wait: timedelta = timedelta(0)) -> Run:
        """Set the number of replicas of a service: `web=5`. It lasts until pipeline.yaml changes the number."""
        return self._work(RunRequest(Trigger.COMMAND, wanted, RunKind.SCALE), wait)

    def restart(self, service: str | None = None, *, wait: timedelta = timedelta(0)) -> Run:
        """Replace the replicas of a service of the active release by new ones, or those of all services."""
        return self._work(RunRequest(Trigger.COMMAND, service, RunKind.RESTART), wait)

    def drain(self, host: str, *, wait: timedelta = timedelta(0)) -> Run:
        """Move the replicas of a host to others, and let it take none until it is resumed."""
        return self._work(RunRequest(Trigger.COMMAND, host, RunKind.DRAIN), wait)

    def down(self, *, wait: timedelta = timedelta(0)) -> Run:
        """Drain and remove everything of the pipeline."""
        return self._work(RunRequest(Trigger.COMMAND, kind=RunKind.DOWN), wait)

    def plan(self, requested: str | None = None) -> dict[str, list[str]]:
        """Return the steps that each stage of a run would take, and what the run would wait for."""
        return plan_run(self._pipeline_context, requested)

    def recover_if_needed(self) -> None:
        """Recover after a crash, and undo a deployment that a queued run would continue.

        Does nothing while another process works on the pipeline: it has recovered first.
        """
        held = self._pipeline_context.store.deployments.open(self._name)
        if held is None and not needs_recovery(self._pipeline_context.stage_context()):
            return
        try:
            with (
                self._pipeline_context.masking_errors(),
                work_lock(self._pipeline_context.home.lock(self._name), f"recovery of {self._name}"),
            ):
                recover(self._pipeline_context, holds=False)
        except LockHeld:
            return

    def _work(self, request: RunRequest, wait: timedelta, *, take_over: bool = False) -> Run:
        # The run continues an interrupted deployment of its release. Every other one is undone in Deploy.
        holds = request.kind is RunKind.RUN or None
        with self._holding(f"{request.kind} of {self._name}", wait, take_over=take_over, holds=holds):
            queue, mode = (
                self._pipeline_context.store.queue,
                self._pipeline_context.configuration.pipeline.execution_mode,
            )
            run = queue.begin(self._name, replace(request, by=self._pipeline_context.by), mode)
            if run is None:
                raise self._refused()
            emit_overtaken(self._pipeline_context, run)
            try:
                Execution(self._pipeline_context, run, self._cancelled).execute()
            except Exception:
                self._undo_held(run.number)
                raise
            self._undo_held(run.number)
            prune(self._pipeline_context)
            return queue.run(self._name, run.number)

    def _refused(self) -> ConfigError:
        """Return the error of a run that has to wait for queued ones, which no process executes now.

        An interrupted deployment stays as it is only if one of them continues it.
        """
        store, text = self._pipeline_context.store, "earlier runs are still queued"
        hint = "start `pipeline serve` to run them, or cancel them with `pipeline cancel`"
        deployment = store.deployments.open(self._name)
        if deployment is None:
            return ConfigError(text, hint=hint)
        if is_held(store, deployment):
            continued = f"run {deployment.run} continues the interrupted deployment of release {deployment.to_release}"
            return ConfigError(f"{text}, and {continued}", hint=hint)
        recover(self._pipeline_context, holds=False)
        ended = store.deployments.of_run(self._name, deployment.run)
        is_undone = ended is None or ended.state is DeploymentState.INTERRUPTED
        done = "was undone" if is_undone else "could not be undone, see `pipeline events`"
        return ConfigError(f"{text}; the interrupted deployment {done}", hint=hint)

    def _undo_held(self, run: int) -> None:
        """Undo an interrupted deployment that was held for a run, if the run has ended before Deploy.

        Nobody would judge it until the next command.
        """
        store = self._pipeline_context.store
        if store.deployments.open(self._name) is None or any(
            s.name == "deploy" for s in store.runs.stages(self._name, run)
        ):
            return
        try:
            recover(self._pipeline_context, holds=False)
        except SystemFault as fault:
            # The run has its own error.
            self._pipeline_context.events(run).emit(EventKind.RECOVERY_FAILED, fault.message)

    def _hint(self) -> str:
        """Return how to go on if another process works on the pipeline."""
        ways = ways_to_end(self._pipeline_context.store, self._name)
        return f"{WAIT_HINT}; {ways}" if ways else WAIT_HINT

    @contextmanager
    def _holding(self, purpose: str, wait: timedelta, *, take_over: bool, holds: bool | None) -> Iterator[None]:
        """Hold the pipeline's lock. Recover after a crash first. For `holds` see `recover`."""
        pipeline_context = self._pipeline_context
        with (
            pipeline_context.masking_errors(),
            work_lock(pipeline_context.home.lock(self._name), purpose, wait=wait.total_seconds(), hint=self._hint()),
        ):
            if not take_over:
                check_owner(pipeline_context.store, pipeline_context.configuration)
            set_owner(pipeline_context.store, pipeline_context.configuration)
            emit_missing_outcomes(pipeline_context)
            if needs_recovery(pipeline_context.stage_context()):
                recover(pipeline_context, holds=holds)
            yield
