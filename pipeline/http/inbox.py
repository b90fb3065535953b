"""Dispatch of webhook deliveries to the daemon's pipelines."""

from __future__ import annotations

from collections.abc import Mapping

from pipeline.config.triggers import Forge
from pipeline.daemon.supervisor import PipelineSupervisor
from pipeline.store.records import Trigger
from pipeline.store.store import Store
from pipeline.triggers.webhook import Delivery


class DaemonInbox:
    """Accepts deliveries for the pipelines of the daemon. See `Inbox`."""

    def __init__(self, supervisors: Mapping[str, PipelineSupervisor], store: Store) -> None:
        self._supervisors = supervisors
        self._store = store

    def secret(self, pipeline: str, forge: Forge) -> str | None:
        """Return the secret that the forge signs with, or None."""
        supervisor = self._supervisors.get(pipeline)
        if supervisor is None:
            return None
        configuration = supervisor.served_file.pipeline_context.configuration
        hook = configuration.pipeline.triggers.webhooks.get(forge)
        return configuration.secrets.resolve(hook.secret) if hook else None

    def is_replay(self, pipeline: str, digest: str) -> bool:
        """Store a delivery. Return True if the pipeline has received it before."""
        return not self._store.deliveries.take(pipeline, digest)

    def delete(self, pipeline: str, digest: str) -> None:
        """Delete a delivery that could not be accepted."""
        self._store.deliveries.delete(pipeline, digest)

    def accept(self, pipeline: str, delivery: Delivery) -> None:  # noqa: ARG002  # the scan finds the commit
        """Request a scan of the pipeline's refs."""
        self._supervisors[pipeline].notify(Trigger.WEBHOOK)
