"""What may be asked of the daemon: runs, and what becomes of them. The control API is only its face."""

from __future__ import annotations

from collections.abc import Mapping

from pipeline.base.errors import ConfigError
from pipeline.base.home import Home
from pipeline.daemon.supervisor import PipelineSupervisor
from pipeline.runner import gates
from pipeline.runner.submission import emit_run_state, submit
from pipeline.store.queue import RunRequest
from pipeline.store.records import ApprovalDecision, Run, RunKind, RunState, Trigger
from pipeline.store.store import Store


class Control:
    """Answers from any thread. Raises `ConfigError` for what cannot be done, with what can."""

    def __init__(self, supervisors: Mapping[str, PipelineSupervisor], store: Store) -> None:
        self.supervisors = supervisors
        self.store = store

    def supervisor(self, name: str) -> PipelineSupervisor:
        """Who serves a pipeline. Raises `ConfigError` when nobody does."""
        try:
            return self.supervisors[name]
        except KeyError:
            known = ", ".join(self.supervisors)
            raise ConfigError(f"{name} is not served here", hint=f"served are: {known}") from None

    def submit(self, name: str, request: RunRequest) -> Run:
        """Queue a run."""
        supervisor = self.supervisor(name)
        # Whoever asks has just written what they mean.
        supervisor.reload_if_changed()
        (run,) = submit(supervisor.served_file.pipeline_context, [request])
        supervisor.queue_worker.wake()
        return run

    def retry(self, name: str, number: int) -> Run:
        """Queue a run again that did not succeed; what it had built and tested is not done again."""
        former = self.run(name, number)
        if not former.state.over or former.state in (RunState.SUCCEEDED, RunState.SKIPPED):
            raise ConfigError(f"run {number} is {former.state}: there is nothing to try again")
        if former.kind is RunKind.RUN and self._overtaken(name, number):
            raise ConfigError(
                f"a newer run than {number} has been deployed since, or is on its way",
                hint=f"to have this commit all the same: pipeline run {(former.sha or '')[:7]}",
            )
        request = RunRequest(
            Trigger.RETRY,
            former.sha or former.requested if former.kind is RunKind.RUN else former.requested,
            former.kind,
            sha=former.sha if former.kind is RunKind.RUN else None,
            ref=former.ref,
            author=former.author,
            subject=former.subject,
            options=former.options,
            retry_of=number,
        )
        return self.submit(name, request)

    def cancel(self, name: str, number: int) -> Run:
        """Give up a run: at once while it waits, in order when somebody works on it."""
        supervisor, run = self.supervisor(name), self.run(name, number)
        if run.state is RunState.QUEUED:
            run = self.store.queue.cancel(name, number, "cancelled")
            if run.state is RunState.CANCELLED:
                emit_run_state(supervisor.served_file.pipeline_context, run)
        if run.state is RunState.RUNNING:
            if not supervisor.queue_worker.cancel(number):
                raise ConfigError(f"run {number} is just being taken over, or is ending", hint="try it again")
        elif run.state is not RunState.CANCELLED:
            raise ConfigError(f"run {number} is over: {run.state}")
        return run

    def decide(self, name: str, number: int, *, granted: bool, by: str, comment: str) -> Run:
        """Answer a run that waits for approval."""
        now = self.supervisor(name).served_file.pipeline_context.clock.now().wall
        return gates.answer(self.store, name, number, ApprovalDecision(granted, by, comment, now))

    def disable_transition(self, name: str, stage: str, reason: str) -> None:
        """Let no run into a stage."""
        gates.disable_transition(self.store, self.supervisor(name).served_file.pipeline_context.events(), stage, reason)

    def enable_transition(self, name: str, stage: str) -> None:
        """Let runs into a stage again."""
        gates.enable_transition(self.store, self.supervisor(name).served_file.pipeline_context.events(), stage)

    def home_of(self, name: str) -> Home:
        """Where a pipeline's logs are."""
        return self.supervisor(name).served_file.pipeline_context.home

    def run(self, name: str, number: int) -> Run:
        """One run."""
        self.supervisor(name)
        run = self.store.runs.get(name, number)
        if run is None:
            raise ConfigError(f"{name} has no run {number}", hint="`pipeline history` lists them")
        return run

    def _overtaken(self, name: str, number: int) -> bool:
        newer = (run for run in self.store.runs.latest(name, limit=1000) if run.number > number)
        states = (RunState.SUCCEEDED, RunState.QUEUED, RunState.RUNNING)
        return any(run.state in states and run.kind is RunKind.RUN for run in newer)
