"""Runs: one at a time for each pipeline, each told from beginning to end, however it ends."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from functools import lru_cache

from pipeline.api import Outcome, StageContext
from pipeline.config.load import Configuration
from pipeline.errors import (
    Cancelled,
    ConfigError,
    LockHeld,
    PenstockError,
    RollbackFailed,
    RolledBack,
)
from pipeline.events import Events, Listener
from pipeline.home import Home
from pipeline.lock import held
from pipeline.log import RunLogFile
from pipeline.masking import Mask
from pipeline.runs.ownership import claim, refuse_stranger
from pipeline.runs.recovery import needs_recovery, recover
from pipeline.runs.stages import load_deployer, load_stages
from pipeline.store.records import Release, ReleaseState, Run, RunKind, RunState, StageState
from pipeline.store.store import Store


class Runner:
    """Executes a pipeline. Listeners hear every event; setting `cancelled` ends what is going on, in order."""

    def __init__(
        self,
        home: Home,
        configuration: Configuration,
        store: Store,
        listeners: Sequence[Listener] = (),
        cancelled: threading.Event | None = None,
    ) -> None:
        self._home = home
        self._configuration = configuration
        self._store = store
        self._listeners = listeners
        self._cancelled = cancelled or threading.Event()
        self._name = configuration.pipeline.name

    def run(
        self,
        requested: str | None = None,
        *,
        force: bool = False,
        take_over: bool = False,
        wait: timedelta = timedelta(0),
    ) -> Run | None:
        """Source, Build, Deploy. None when there was nothing to do. Raises what the run came to.

        `take_over` says that a pipeline of this name, declared in another file, is this one.
        """
        with self._working(RunKind.RUN, requested, wait, take_over=take_over) as context:
            deployer = load_deployer()
            deployer.preflight(context)
            context = replace(context, force=force or not deployer.is_current(context))
            for stage in load_stages():
                outcome = self._stage(context, stage.name, lambda stage=stage: stage.run(context))  # type: ignore[misc]
                if not outcome.go_on:
                    return None
        return self._store.run(self._name, context.run)

    def rollback(self, number: int | None = None, *, wait: timedelta = timedelta(0)) -> Run | None:
        """Put release `number` back, or the one before the present one."""
        with self._working(RunKind.ROLLBACK, str(number) if number else None, wait) as context:
            release = self._former(number)
            self._store.set_revision(
                self._name,
                context.run,
                sha=release.sha,
                ref=f"release {release.number}",
                author="",
                subject=release.subject,
            )
            deployer = load_deployer()
            self._stage(context, deployer.name, lambda: deployer.rollback(context, release))
        return self._store.run(self._name, context.run)

    def down(self, *, wait: timedelta = timedelta(0)) -> Run | None:
        """Drain and remove everything of the pipeline."""
        with self._working(RunKind.DOWN, None, wait) as context:
            deployer = load_deployer()
            self._stage(context, deployer.name, lambda: deployer.down(context))
        return self._store.run(self._name, context.run)

    def plan(self, requested: str | None = None) -> dict[str, list[str]]:
        """What each stage of a run would do."""
        context = self._context(self._events(None), 0, requested, _Unheard())
        with self._masked():
            refuse_stranger(self._store, self._configuration)
            context = replace(context, force=not load_deployer().is_current(context))
            return {stage.name: stage.plan(context) for stage in load_stages()}

    def heal(self) -> None:
        """Put right what a crash left; does nothing while somebody works, who does that first."""
        context = self._context(self._events(None), 0, None, _Unheard())
        if not needs_recovery(context):
            return
        try:
            with self._masked(), held(self._home.lock(self._name), f"recovery of {self._name}"):
                recover(context, load_deployer)
        except LockHeld:
            return

    def _former(self, number: int | None) -> Release:
        releases = [r for r in self._store.releases(self._name) if r.state is not ReleaseState.PENDING]
        active = self._store.active_release(self._name)
        if number is None:
            retired = [r for r in releases if r.state is ReleaseState.RETIRED]
            older = [r for r in retired if active is None or r.number < active.number]
            if not retired:
                raise ConfigError("there is no former release to go back to", hint="`pipeline releases` lists them")
            return (older or retired)[0]
        found = next((r for r in releases if r.number == number), None)
        if found is None:
            raise ConfigError(f"there is no release {number}", hint="`pipeline releases` lists them")
        if found.state is ReleaseState.FAILED:
            raise ConfigError(f"release {number} never served: it failed", hint="`pipeline releases` lists them")
        if found.state is ReleaseState.ACTIVE:
            raise ConfigError(f"release {number} serves already")
        return found

    @contextmanager
    def _working(
        self, kind: RunKind, requested: str | None, wait: timedelta, *, take_over: bool = False
    ) -> Iterator[StageContext]:
        """Everything around the work: lock, recovery, the run's row, its log, and how it ended."""
        purpose = f"{kind} of {self._name}"
        with self._masked(), held(self._home.lock(self._name), purpose, wait=wait.total_seconds()):
            if not take_over:
                refuse_stranger(self._store, self._configuration)
            claim(self._store, self._configuration)
            before = self._context(self._events(None), 0, None, _Unheard())
            if needs_recovery(before):
                recover(before, load_deployer)
            run = self._store.begin_run(self._name, kind, requested)
            events = self._events(run.number)
            with RunLogFile(self._home.run_log(self._name, run.number), self._mask) as log:
                context = self._context(events, run.number, requested, log)
                with self._told(events, run):
                    yield context
            for number in self._store.prune_history(self._name):
                self._home.run_log(self._name, number).unlink(missing_ok=True)

    def _mask(self, text: str) -> str:
        return _mask_of(self._configuration.secrets.values())(text)

    @contextmanager
    def _masked(self) -> Iterator[None]:
        """An error may quote what a container printed: no secret of it leaves us."""
        try:
            yield
        except PenstockError as error:
            error.mask(self._mask)
            raise

    @contextmanager
    def _told(self, events: Events, run: Run) -> Iterator[None]:
        """Record how the run ends, and tell it."""
        events.emit("run.started", f"{run.kind} {run.number} of {self._name}")
        try:
            yield
        except BaseException as error:
            state = _state(error)
            reason = self._mask(error.message if isinstance(error, PenstockError) else repr(error))
            self._store.finish_run(self._name, run.number, state, reason)
            events.emit("run.finished", f"run {run.number}: {state.replace('_', ' ')}", state=state, reason=reason)
            raise
        if self._store.run(self._name, run.number) is not None:
            self._store.finish_run(self._name, run.number, RunState.SUCCEEDED)
            events.emit("run.finished", f"run {run.number}: succeeded", state=RunState.SUCCEEDED)

    def _stage(self, context: StageContext, name: str, work: Callable[[], Outcome]) -> Outcome:
        """One stage of a run, told and recorded."""
        if self._cancelled.is_set():
            raise Cancelled("cancelled")
        self._store.begin_stage(self._name, context.run, name)
        context.events.emit("stage.started", f"{name.capitalize()} …", stage=name)
        try:
            outcome = work()
        except BaseException as error:
            state = StageState.CANCELLED if isinstance(error, Cancelled) else StageState.FAILED
            text = self._mask(error.message if isinstance(error, PenstockError) else repr(error))
            self._store.finish_stage(self._name, context.run, name, state, text)
            context.events.emit("stage.failed", f"{name.capitalize()} {state}", stage=name)
            raise
        self._record_revision(context)
        self._store.finish_stage(self._name, context.run, name, StageState.SUCCEEDED, self._mask(outcome.summary))
        record = next(s for s in self._store.stages(self._name, context.run) if s.name == name)
        seconds = round(record.duration.total_seconds(), 3)
        context.events.emit(
            "stage.finished", f"{name.capitalize()}: {outcome.summary} ({seconds:.1f} s)", stage=name, seconds=seconds
        )
        if not outcome.go_on:
            context.events.emit("run.skipped", "nothing to do: no run was made")
            self._store.discard_run(self._name, context.run)
            self._home.run_log(self._name, context.run).unlink(missing_ok=True)
        return outcome

    def _record_revision(self, context: StageContext) -> None:
        revision = context.work.revision
        if revision is not None:
            self._store.set_revision(
                self._name,
                context.run,
                sha=revision.sha,
                ref=revision.ref,
                author=revision.author,
                subject=revision.subject,
            )

    def _events(self, run: int | None) -> Events:
        events = Events(self._name, run, self._mask)
        events.subscribe(self._store.record_event)
        for listener in self._listeners:
            events.subscribe(listener)
        return events

    def _context(self, events: Events, run: int, requested: str | None, log: RunLogFile | _Unheard) -> StageContext:
        return StageContext(
            home=self._home,
            configuration=self._configuration,
            run=run,
            store=self._store,
            events=events,
            log=log,
            requested=requested,
            cancelled=self._cancelled,
        )


@lru_cache(maxsize=4)
def _mask_of(secrets: tuple[str, ...]) -> Mask:
    return Mask(secrets)


class _Unheard:
    """Where no run is, nothing is logged."""

    def line(self, stage: str, text: str) -> None:
        """Keep nothing."""


def _state(error: BaseException) -> RunState:
    if isinstance(error, RolledBack):
        return RunState.ROLLED_BACK
    if isinstance(error, RollbackFailed):
        return RunState.ROLLBACK_FAILED
    if isinstance(error, Cancelled | KeyboardInterrupt):
        return RunState.CANCELLED
    return RunState.FAILED
