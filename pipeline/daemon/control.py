"""Commands to the daemon. The control API exposes them over HTTP."""

from __future__ import annotations

from collections.abc import Mapping

from pipeline.base.errors import ConfigError
from pipeline.base.home import Home
from pipeline.config.accessory import Accessory
from pipeline.daemon.supervisor import PipelineSupervisor
from pipeline.events import Events
from pipeline.runner import deployment_answer, gates
from pipeline.runner.submission import emit_run_state, submit
from pipeline.store.queue import RunRequest
from pipeline.store.records import ApprovalDecision, Run, RunKind, RunState, Trigger
from pipeline.store.store import Store


class Control:
    """Commands to the pipelines of one daemon.

    Safe to use from any thread. Methods raise `ConfigError` for a command that is not possible.
    """

    def __init__(self, supervisors: Mapping[str, PipelineSupervisor], store: Store) -> None:
        self.supervisors = supervisors
        self.store = store

    def supervisor(self, name: str) -> PipelineSupervisor:
        """Return the supervisor of a pipeline. Raises `ConfigError` if the daemon does not manage it."""
        try:
            return self.supervisors[name]
        except KeyError:
            known = ", ".join(self.supervisors)
            raise ConfigError(f"the daemon does not manage {name}", hint=f"it manages: {known}") from None

    def submit(self, name: str, request: RunRequest, *, strict: bool = False) -> Run:
        """Queue a run and return it. With `strict`, raise the `ConfigError` of a file that is invalid now."""
        supervisor = self._with_current_file(name)
        if supervisor.served_file.is_service:
            raise ConfigError(
                f"{name} is the pipeline of a service that a stack has made",
                hint="change it with `pipeline stack update` or `aws ecs update-service`",
            )
        if strict:
            supervisor.served_file.check(request.options.parameters or {})
        (run,) = submit(supervisor.served_file.pipeline_context, [request])
        supervisor.queue_worker.wake()
        if run.kind is RunKind.RUN and run.sha is None:
            # The scan finds its commit, so that it can replace a run in progress.
            supervisor.notify(None)
        return run

    def accessories(self, name: str) -> Mapping[str, Accessory]:
        """Return the accessories in the file of a pipeline, as it was when it was valid."""
        return self.supervisor(name).served_file.pipeline_context.configuration.pipeline.accessories

    def is_invalid(self, name: str) -> bool:
        """Return whether the file of a pipeline is invalid now, so that the previous configuration is used."""
        return self._with_current_file(name).served_file.error is not None

    def retry(self, name: str, number: int, *, by: str | None) -> Run:
        """Queue a new run for the commit of a run that did not succeed. `by` is the user who asks for it.

        An image that the run has built and tested is reused.
        """
        previous = self.run(name, number)
        if not previous.state.over or previous.state in (RunState.SUCCEEDED, RunState.SKIPPED):
            raise ConfigError(f"run {number} cannot be retried: its state is {previous.state}")
        if previous.kind is RunKind.RUN and self._overtaken(name, number):
            raise ConfigError(
                f"a newer run than {number} is queued, running or deployed",
                hint=f"to deploy this commit anyway: pipeline run {(previous.sha or '')[:7]}",
            )
        request = RunRequest(
            Trigger.RETRY,
            previous.sha or previous.requested if previous.kind is RunKind.RUN else previous.requested,
            previous.kind,
            sha=previous.sha if previous.kind is RunKind.RUN else None,
            ref=previous.ref,
            author=previous.author,
            subject=previous.subject,
            options=previous.options,
            retry_of=number,
            by=by,
        )
        return self.submit(name, request)

    def cancel(self, name: str, number: int, *, by: str | None) -> Run:
        """Cancel a run. A queued run is cancelled when this returns; a running one is stopped by its worker.

        The first user who cancels it is stored and reported.
        """
        supervisor, before = self.supervisor(name), self.run(name, number)
        run = self.store.queue.cancel(name, number, by=by)
        if before.state is RunState.QUEUED and run.state is RunState.CANCELLED:
            emit_run_state(supervisor.served_file.pipeline_context, run)
        if run.state is RunState.RUNNING:
            if not supervisor.queue_worker.cancel(number):
                if before.cancelled_by is None:
                    self.store.queue.withdraw_cancel(name, number)
                raise ConfigError(f"run {number} is starting or ending", hint="run the command again")
        elif run.state is not RunState.CANCELLED:
            raise ConfigError(f"run {number} has already finished: {run.state}")
        return run

    def decide(self, name: str, number: int, *, granted: bool, by: str, comment: str) -> Run:
        """Store the decision about a run that waits for approval."""
        now = self.supervisor(name).served_file.pipeline_context.clock.now().wall
        return gates.answer(self.store, name, number, ApprovalDecision(granted, by, comment, now))

    def promote(self, name: str, *, by: str, service: str | None) -> str:
        """End what the deployment in progress waits for, and return the effect."""
        self.supervisor(name)
        return deployment_answer.promote(self.store, name, by, service)

    def abort(self, name: str, *, by: str, comment: str, service: str | None) -> str:
        """Roll the deployment in progress back, and return the effect."""
        self.supervisor(name)
        return deployment_answer.abort(self.store, name, by, comment, service)

    def disable_transition(self, name: str, stage: str, reason: str, *, by: str | None) -> None:
        """Disable the transition into a stage."""
        gates.disable_transition(self.store, self._events(name, by), stage, reason)

    def enable_transition(self, name: str, stage: str, *, by: str | None) -> bool:
        """Enable the transition into a stage. Returns False if it was enabled already."""
        return gates.enable_transition(self.store, self._events(name, by), stage)

    def home_of(self, name: str) -> Home:
        """Return the home directory that holds a pipeline's logs."""
        return self.supervisor(name).served_file.pipeline_context.home

    def run(self, name: str, number: int) -> Run:
        """Return one run. Raises `ConfigError` if it does not exist."""
        self.supervisor(name)
        run = self.store.runs.get(name, number)
        if run is None:
            raise ConfigError(f"{name} has no run {number}", hint="`pipeline history` lists them")
        return run

    def _events(self, name: str, by: str | None) -> Events:
        return self.supervisor(name).served_file.pipeline_context.events(by=by)

    def _with_current_file(self, name: str) -> PipelineSupervisor:
        """Return the supervisor of a pipeline. A user may have edited its file just before this command."""
        supervisor = self.supervisor(name)
        supervisor.reload_if_changed(forced=supervisor.served_file.has_become_valid())
        return supervisor

    def _overtaken(self, name: str, number: int) -> bool:
        newer = (run for run in self.store.runs.latest(name, limit=1000) if run.number > number)
        states = (RunState.SUCCEEDED, RunState.QUEUED, RunState.RUNNING)
        return any(run.state in states and run.kind is RunKind.RUN for run in newer)
