"""One run that is somebody's to work on, from its first event to its last, however it ends."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace

from pipeline.api import Outcome, Stage
from pipeline.base.errors import (
    Cancelled,
    ConfigError,
    PenstockError,
    RollbackFailed,
    RolledBack,
    Superseded,
    SystemFault,
)
from pipeline.config.load import CommittedFile, Configuration, load
from pipeline.event_kinds import EventKind
from pipeline.events import Events
from pipeline.reporters.dispatcher import ReporterDispatcher
from pipeline.runner.context import PipelineContext
from pipeline.runner.gates import pass_gates
from pipeline.runner.stages import load_deployer, load_source, load_stages
from pipeline.runner.submission import emit_run_state
from pipeline.store.records import Release, ReleaseState, Run, RunKind, RunState, StageState
from pipeline.store.run_log import RunLogFile

# Seconds that reporters get for their last words.
_REPORTING = 10.0
LockFactory = Callable[[], AbstractContextManager[None]]


class Execution:
    """A run and all that belongs to it.

    `turn` keeps others off while targets move. `interrupted` says that a run which is cancelled is so because its
    worker ends: it goes back to the queue.
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
        self._context = pipeline_context.stage_context()

    def execute(self) -> None:
        """Do what the run is for. Raises what it came to, when that is not success."""
        events = self._pipeline_context.events(self._run.number)
        path = self._pipeline_context.home.run_log(self._name, self._run.number)
        works: Mapping[RunKind, Callable[[], Outcome]] = {
            RunKind.RUN: self._run_stages,
            RunKind.ROLLBACK: self._roll_back,
            RunKind.DOWN: self._take_down,
        }
        with (
            self._pipeline_context.masking_errors(),
            self._with_reporters(events),
            self._record_outcome(events),
            RunLogFile(path, self._pipeline_context.mask) as log,
        ):
            self._context = self._pipeline_context.stage_context(
                events, self._run.number, log, self._run.requested, self._cancelled
            )
            outcome = works[self._run.kind]()
            state, reason = (RunState.SUCCEEDED, "") if outcome.go_on else (RunState.SKIPPED, outcome.summary)
            self._finish(events, state, reason)

    def _run_stages(self) -> Outcome:
        """Source, Build, Deploy. The first finds the commit, and with it the configuration that counts from then on."""
        by_commit = self._run.options.configuration == "commit"
        self._context = replace(self._context, sha=self._run.sha, ref=self._run.ref)
        if not by_commit:
            self._take_parameters()
            self._prepare()
        outcome = Outcome("")
        for stage in load_stages():
            if stage.name == "source" and by_commit:
                outcome = self._stage(stage.name, lambda stage=stage: self._run_source(stage))  # type: ignore[misc]
            else:
                outcome = self._stage(stage.name, lambda stage=stage: stage.run(self._context))  # type: ignore[misc]
            if not outcome.go_on:
                break
        return outcome

    def _take_parameters(self) -> None:
        """The file as it is, with the parameters that were asked for."""
        parameters = self._run.options.parameters
        if parameters:
            configuration = load(self._context.configuration.path, {**self._pipeline_context.parameters, **parameters})
            self._pipeline_context.configuration.secrets.merge(configuration.secrets)
            self._context = replace(self._context, configuration=configuration)

    def _run_source(self, source: Stage) -> Outcome:
        """The Source stage, after the pipeline.yaml of the run's own commit has taken the place of ours."""
        found = load_source().pipeline_file(self._context)
        if found is None:
            here = self._context.configuration.path
            text = f"the commit has no pipeline.yaml of its own: {here} counts"
            self._context.events.emit(EventKind.SOURCE_CONFIGURATION, text)
        else:
            parameters = {**self._pipeline_context.parameters, **(self._run.options.parameters or {})}
            configuration = merge_commit_config(self._context.configuration, found, parameters)
            # What the commit calls a secret must be masked from here on by whoever masks.
            self._pipeline_context.configuration.secrets.merge(configuration.secrets)
            self._context = replace(self._context, configuration=configuration)
        self._prepare()
        return source.run(self._context)

    def _prepare(self) -> None:
        """Raise now what would stop the run later; and what serves with another configuration is deployed again."""
        deployer = load_deployer()
        deployer.preflight(self._context)
        force = self._run.options.force or not deployer.is_current(self._context)
        self._context = replace(self._context, force=force)

    def _roll_back(self) -> Outcome:
        release = self._rollback_release(int(self._run.requested) if self._run.requested else None)
        self._store.runs.set_revision(
            self._name,
            self._run.number,
            sha=release.sha,
            ref=f"release {release.number}",
            author="",
            subject=release.subject,
        )
        deployer = load_deployer()
        return self._stage(deployer.name, lambda: deployer.rollback(self._context, release))

    def _take_down(self) -> Outcome:
        deployer = load_deployer()
        return self._stage(deployer.name, lambda: deployer.down(self._context))

    def _rollback_release(self, number: int | None) -> Release:
        releases = [r for r in self._store.releases.all(self._name) if r.state is not ReleaseState.PENDING]
        active = self._store.releases.active(self._name)
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
    def _with_reporters(self, events: Events) -> Iterator[None]:
        """Have the reporters hear of it. They may keep us for a while at the end, and never otherwise."""
        configuration = self._pipeline_context.configuration
        if not configuration.pipeline.reporters:
            yield
            return
        reporting = ReporterDispatcher(
            configuration, self._run.number, self._store, events, self._pipeline_context.clock
        )
        events.subscribe(reporting.on_event)
        try:
            yield
        finally:
            reporting.close(_REPORTING)

    @contextmanager
    def _record_outcome(self, events: Events) -> Iterator[None]:
        """Record how the run ends when that is not as it should, and tell it."""
        events.emit(
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
        """Write down and tell what an error came to; what it is for whoever waits."""
        by = self._store.queue.run(self._name, self._run.number).superseded_by
        if isinstance(error, Cancelled) and by:
            error = Superseded(f"superseded by run {by}")
        known = error if isinstance(error, PenstockError) else SystemFault(repr(error))
        known.mask(self._pipeline_context.mask)
        told = {"code": int(known.exit_code), "hint": known.hint, "tail": "\n".join(known.tail)}
        self._finish(events, _state(error), known.message, **told)
        return error

    def _finish(self, events: Events, state: RunState, reason: str = "", **told: str | int | None) -> None:
        self._store.runs.finish(self._name, self._run.number, state, reason)
        because = f", {reason}" if state is RunState.SKIPPED else ""
        text = f"run {self._run.number}: {state.replace('_', ' ')}{because}"
        events.emit(EventKind.RUN_FINISHED, text, state=state, reason=reason, **told)

    def _stage(self, name: str, work: Callable[[], Outcome]) -> Outcome:
        """One stage of the run, let in, told and recorded."""
        context = self._context
        pass_gates(context, self._run, name)
        context.events.emit(EventKind.STAGE_STARTED, f"{name.capitalize()} …", stage=name)
        try:
            with self._deploy_lock() if name == "deploy" else nullcontext():
                outcome = work()
        except BaseException as error:
            state = StageState.CANCELLED if isinstance(error, Cancelled) else StageState.FAILED
            text = self._pipeline_context.mask(error.message if isinstance(error, PenstockError) else repr(error))
            self._store.runs.finish_stage(self._name, self._run.number, name, state, text)
            context.events.emit(EventKind.STAGE_FAILED, f"{name.capitalize()} {state}", stage=name)
            raise
        self._record_revision()
        summary = self._pipeline_context.mask(outcome.summary)
        self._store.runs.finish_stage(self._name, self._run.number, name, StageState.SUCCEEDED, summary)
        record = next(s for s in self._store.runs.stages(self._name, self._run.number) if s.name == name)
        seconds = round(record.duration.total_seconds(), 3)
        text = f"{name.capitalize()}: {summary} ({seconds:.1f} s)"
        context.events.emit(EventKind.STAGE_FINISHED, text, stage=name, seconds=seconds)
        return outcome

    def _record_revision(self) -> None:
        revision = self._context.work.revision
        if revision is not None:
            self._store.runs.set_revision(
                self._name,
                self._run.number,
                sha=revision.sha,
                ref=revision.ref,
                author=revision.author,
                subject=revision.subject,
            )


def merge_commit_config(
    served: Configuration, committed: CommittedFile, parameters: Mapping[str, str]
) -> Configuration:
    """The configuration in a commit. Where commits come from, and what paths are relative to, the served file says.

    Raises `ConfigError` for what is wrong in it, and where it is another pipeline's.
    """
    found = load(served.path, parameters, committed=committed)
    name = served.pipeline.name
    if found.pipeline.name != name:
        raise ConfigError(
            f"{committed.name} is the pipeline {found.pipeline.name}, and this is {name}",
            hint=f"name it {name} there, or say in source.file of {served.path} which file it is",
        )
    source = found.pipeline.source.model_copy(update={"repository": served.pipeline.source.repository})
    return replace(found, pipeline=found.pipeline.model_copy(update={"source": source}))


def _state(error: BaseException) -> RunState:
    if isinstance(error, RolledBack):
        return RunState.ROLLED_BACK
    if isinstance(error, RollbackFailed):
        return RunState.ROLLBACK_FAILED
    if isinstance(error, Superseded):
        return RunState.SUPERSEDED
    return RunState.CANCELLED if isinstance(error, Cancelled | KeyboardInterrupt) else RunState.FAILED
