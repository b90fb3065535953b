"""What is done for replicas that leave: a notice when they begin to drain, and their output when they are removed."""

from __future__ import annotations

from contextlib import AbstractContextManager, closing, nullcontext, suppress

from pipeline.api import StageContext
from pipeline.base.errors import StoreFault, SystemFault
from pipeline.config.release import ReleaseSpec
from pipeline.engine.cluster_members import containers_in
from pipeline.engine.console import Console
from pipeline.engine.hosts import host_console, local_console
from pipeline.engine.open_cluster import OpenCluster
from pipeline.engine.runtime import Replica
from pipeline.event_kinds import EventKind
from pipeline.store.replica_logs import ReplicaLogs
from stages.deploy.drain_notice import DrainNotice


class LeavingReplicas:
    """Sends the notices of a pipeline's replicas and keeps their output. No method raises what would stop a drain.

    They run in `cluster`.
    """

    def __init__(self, context: StageContext, cluster: OpenCluster) -> None:
        self._context = context
        self._pipeline = context.configuration.pipeline.name
        self._cluster = cluster
        self._containers = containers_in(cluster)
        self._console = local_console(context.home.id)
        self._notified: set[str] = set()

    def notify(self, replica: Replica) -> None:
        """Send a replica the notice that its service wants in its own release, unless this object has sent it."""
        if replica.name in self._notified:
            return
        self._notified.add(replica.name)
        # A full disk or a lock must not stop the drain.
        with suppress(StoreFault):
            releases = self._context.store.releases.all(self._pipeline)
            stored = next((each.spec for each in releases if each.number == replica.release), None)
            settings = ReleaseSpec.parse(stored).services.get(replica.service) if stored else None
            if settings is not None and settings.on_drain is not None:
                DrainNotice(self._containers, self._warn).send(replica, settings.on_drain)

    def save_output(self, replica: str, host: str) -> None:
        """Keep the output of a replica that is about to be removed. A failure does not stop its removal."""
        try:
            with self._console_of(host) as console:
                stream = console.log(replica)
                if stream is not None:
                    with closing(stream):
                        ReplicaLogs(self._context.home.replica_logs(self._pipeline)).save(replica, stream.all())
        except (SystemFault, OSError) as error:
            self._warn(f"the output of {replica} is not kept: {error}")

    def _console_of(self, host: str) -> AbstractContextManager[Console]:
        """Return the console of a host, which is connected to for this time only."""
        found = self._cluster.spec.host(host)
        if found is None:
            return nullcontext(self._console)
        return closing(host_console(found.spec, self._context.home.id, self._context.home.hosts))

    def _warn(self, text: str) -> None:
        with suppress(StoreFault):
            self._context.events.emit(EventKind.DEPLOYMENT_WARNING, text)
