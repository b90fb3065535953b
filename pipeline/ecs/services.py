"""Changes of services: each is one run of the service's pipeline."""

from __future__ import annotations

from dataclasses import replace
from typing import Protocol

from pipeline.base.errors import StageFailed
from pipeline.base.home import Home
from pipeline.ecs.context import service_context
from pipeline.ecs.records import Service
from pipeline.ecs.stack_pipeline import StackPipeline
from pipeline.ecs.store import EcsStore, Worked
from pipeline.engine.labels import DEFAULT_SERVICE
from pipeline.runner.ownership import check_name
from pipeline.runner.submission import submit
from pipeline.store.queue import RunRequest
from pipeline.store.records import Run, RunKind, RunOptions, RunState, Trigger
from pipeline.store.store import Store

SUCCESSES = (RunState.SUCCEEDED, RunState.SKIPPED)
"""The states of runs after which a service is as wanted."""


class Workers(Protocol):
    """The threads that work on the pipelines of services. Each method returns soon. Safe to use from any thread."""

    def wake(self, service: Worked) -> None:
        """Let the queue of a service be worked on, in this process or in another that has its lock."""

    def cancel(self, service: Worked, run: int) -> None:
        """Stop a run that this process executes. Does nothing if it executes none of this number."""

    def release(self, service: Worked) -> None:
        """Stop working on a service, which does not exist any more."""


class Services:
    """Brings services to what is wanted, and takes them down. Each call may be repeated until it is done.

    Safe to use from any thread, by one at a time for one service. Raises `StoreFault`.
    """

    def __init__(self, home: Home, kept: EcsStore, store: Store, workers: Workers) -> None:
        self._home = home
        self._kept = kept
        self._store = store
        self._workers = workers

    def apply(self, service: Worked) -> str | None:
        """Bring a service to what its record wants. Return what is being done, or None when it is done.

        A change that is not the one in progress replaces it. Raises `ConfigError` for what is not possible, and
        `StageFailed` if the deployment has failed: the tasks of before are back. The next call then tries again.
        """
        known = self._kept.current(service)
        run = known.run if known and known.is_as_wanted(service) else None
        service = replace(service, run=run)
        if service != known:
            self._check(service)
            self._kept.put(service)
        if isinstance(service, StackPipeline):
            service.write_file(self._home)
        return self._advance(service, RunKind.RUN)

    def count(self, service: Service) -> int:
        """Return the number of tasks that is wanted. After a deployment that failed, it is that of before."""
        run = self._store.runs.get(service.pipeline, service.run) if service.run else None
        if run and (not run.state.over or run.state in SUCCESSES):
            return service.wanted.desired_count
        stored = self._store.services.wanted(service.pipeline, DEFAULT_SERVICE)
        return service.wanted.desired_count if stored is None else stored

    def remove(self, service: Worked) -> str | None:
        """Drain and remove all tasks of a service, then the service. Return what is being done, None when it is gone.

        Raises `StageFailed` if that is not possible now. The next call tries again.
        """
        known = self._kept.current(service)
        if known is None:
            return None
        if not known.deleting:
            known = replace(known, deleting=True, run=None)
            self._kept.put(known)
        doing = self._advance(known, RunKind.DOWN) if self._store.runs.latest(known.pipeline, limit=1) else None
        if doing is None:
            if isinstance(known, StackPipeline):
                known.file(self._home).unlink(missing_ok=True)
            self._kept.drop(known.owner, known.arn)
            self._workers.release(known)
        return doing

    def _check(self, service: Worked) -> None:
        """Raise `ConfigError` for what no pipeline can do, and for a name that another pipeline.yaml has."""
        context = service_context(self._home, self._store, self._kept, service)
        if isinstance(service, StackPipeline):
            check_name(self._store, context.configuration)

    def _advance(self, service: Worked, kind: RunKind) -> str | None:
        if service.run is None:
            if others := self._store.queue.unfinished(service.pipeline):
                self._cancel(service, others)
                return "stopping the deployment that is in progress"
            service = self._start(service, kind)
        assert service.run is not None
        run = self._store.runs.get(service.pipeline, service.run)
        if run is not None and not run.state.over:
            self._workers.wake(service)
            return self._progress(run)
        if run is not None and run.state in SUCCESSES:
            return None
        self._kept.put(replace(service, run=None))
        if run is not None and run.state is RunState.SUPERSEDED:
            return "the run was replaced by that of a newer commit, and is repeated"
        if run is None:
            return "the run is not in the history any more, and is repeated"
        raise StageFailed(f"{service.name}: {run.reason or run.state}")

    def _start(self, service: Worked, kind: RunKind) -> Worked:
        context = service_context(self._home, self._store, self._kept, service)
        (run,) = submit(context, [self._request(service, kind)])
        started = replace(service, run=run.number)
        self._kept.put(started)
        return started

    def _request(self, service: Worked, kind: RunKind) -> RunRequest:
        request = RunRequest(Trigger.COMMAND, kind=kind, options=RunOptions(configuration="file"))
        if isinstance(service, StackPipeline):
            return request
        # Nobody but the owner of the access key can change the service.
        request = replace(request, by=service.owner)
        if kind is not RunKind.RUN:
            return request
        task = self._kept.task_definition(service.owner, service.wanted.task_definition)
        if task is None:
            return request
        subject = f"task definition {task.label}"
        return replace(request, sha=task.sha, ref=task.label, author=task.owner, subject=subject)

    def _cancel(self, service: Worked, runs: list[Run]) -> None:
        for run in runs:
            if run.state is RunState.QUEUED:
                self._store.queue.cancel(run.pipeline, run.number, "replaced by a newer change of the service")
            else:
                self._workers.cancel(service, run.number)
        # A run whose process has died is recovered first.
        self._workers.wake(service)

    def _progress(self, run: Run) -> str:
        stages = self._store.runs.stages(run.pipeline, run.number)
        stage = stages[-1].name if stages else "queue"
        return f"run {run.number} of {run.pipeline}: {stage}"
