"""Where webhooks go: to the pipelines that are served."""

from __future__ import annotations

from collections.abc import Mapping

from pipeline.config.triggers import Forge
from pipeline.daemon.supervisor import PipelineSupervisor
from pipeline.store.records import Trigger
from pipeline.store.store import Store
from pipeline.triggers.webhook import Delivery


class DaemonInbox:
    """Takes deliveries in for served pipelines. See `Inbox`."""

    def __init__(self, supervisors: Mapping[str, PipelineSupervisor], store: Store) -> None:
        self._supervisors = supervisors
        self._store = store

    def secret(self, pipeline: str, forge: Forge) -> str | None:
        """What the forge signs with."""
        supervisor = self._supervisors.get(pipeline)
        if supervisor is None:
            return None
        configuration = supervisor.served_file.pipeline_context.configuration
        hook = configuration.pipeline.triggers.webhooks.get(forge)
        return configuration.secrets.resolve(hook.secret) if hook else None

    def is_replay(self, pipeline: str, digest: str) -> bool:
        """Whether it came before."""
        return not self._store.deliveries.take(pipeline, digest)

    def forget(self, pipeline: str, digest: str) -> None:
        """It could not be taken in."""
        self._store.deliveries.delete(pipeline, digest)

    def accept(self, pipeline: str, delivery: Delivery) -> None:  # noqa: ARG002  # we look for ourselves
        """A forge says that something is new: see what is there."""
        self._supervisors[pipeline].notify(Trigger.WEBHOOK)
