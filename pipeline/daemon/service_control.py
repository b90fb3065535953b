"""Commands to what the daemon runs beside deployments: jobs, accessories, auto scaling and hosts."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from pipeline.daemon.accessory_actions import AccessoryAction
from pipeline.daemon.control import Control
from pipeline.runner.scaling_suspension import resume_scaling, scaled_services, suspend_scaling
from pipeline.store.job_run import JobRun
from pipeline.store.queue import RunRequest
from pipeline.store.records import Run, RunKind, Trigger

if TYPE_CHECKING:
    from pipeline.engine.cluster import ClusterSpec
    from pipeline.engine.open_cluster import OpenCluster
    from pipeline.engine.reachable_host import HostChange
    from pipeline.runner.nodes import Nodes


class ServiceControl:
    """Commands to the services of one daemon, for a user, whom the events name: `by`.

    Safe to use from any thread. Methods raise `ConfigError` for a command that is not possible.
    """

    def __init__(self, control: Control) -> None:
        self._control = control

    def run_job(self, pipeline: str, job: str, *, by: str | None) -> JobRun:
        """Begin a run of a job of the active release, and return it."""
        return self._control.supervisor(pipeline).run_job(job, by)

    def cancel_job(self, pipeline: str, job: str, *, by: str | None) -> JobRun:
        """Let the run of a job end: SIGTERM, and SIGKILL after its `stop_grace`. Returns it as it is now."""
        from pipeline.jobs.by_command import running_run

        supervisor, store = self._control.supervisor(pipeline), self._control.store
        run = running_run(store, pipeline, job)
        store.job_runs.request_cancel(pipeline, run.number, by)
        # Adopts a run that no process follows.
        supervisor.notify_jobs()
        return store.job_runs.get(pipeline, run.number) or run

    def act_on_accessory(
        self, pipeline: str, name: str, action: AccessoryAction, *, by: str | None, backup: str | None = None
    ) -> str:
        """Begin an action on an accessory, and return what is done now. Events report its end.

        A restore needs the name of a `backup`.
        """
        return self._control.supervisor(pipeline).accessory_actions.begin(action, name, by, backup)

    def suspend_scaling(self, pipeline: str, service: str, *, by: str | None) -> bool:
        """Keep the number of a scaled service. Returns False if its scaling is suspended already."""
        return self._change_scaling(pipeline, service, by, is_suspended=True)

    def resume_scaling(self, pipeline: str, service: str, *, by: str | None) -> bool:
        """Scale a service again. Returns False if its scaling is not suspended."""
        return self._change_scaling(pipeline, service, by, is_suspended=False)

    def drain_node(self, pipeline: str, name: str, *, by: str | None) -> Run:
        """Queue a run that moves the replicas of a host to others. The host takes none until it is resumed."""
        self.nodes(pipeline, by=by).check_drain(name)
        return self._control.submit(pipeline, RunRequest(Trigger.COMMAND, name, RunKind.DRAIN, by=by))

    def resume_node(self, pipeline: str, name: str, *, by: str | None) -> bool:
        """Let a drained host take replicas again. Returns False if it was not drained."""
        return self.nodes(pipeline, by=by).resume(name)

    def nodes(self, pipeline: str, *, by: str | None = None) -> Nodes:
        """Return the hosts of a pipeline. Connects to nothing yet."""
        from pipeline.engine.clusters import open_cluster
        from pipeline.runner.nodes import HostNodes

        context = self._control.supervisor(pipeline).served_file.pipeline_context
        home = context.home

        def connect(cluster: ClusterSpec, on_change: Callable[[HostChange], object]) -> OpenCluster:
            return open_cluster(cluster, home.id, home.hosts, on_change=on_change)

        return HostNodes(context.store, pipeline, context.events(by=by), connect)

    def _change_scaling(self, pipeline: str, service: str, by: str | None, *, is_suspended: bool) -> bool:
        supervisor, store = self._control.supervisor(pipeline), self._control.store
        scaled_services(store, pipeline, [service])
        events = supervisor.served_file.pipeline_context.events(by=by)
        is_changed = (suspend_scaling if is_suspended else resume_scaling)(store, events, service)
        if is_changed:
            supervisor.notify_scaling()
        return is_changed
