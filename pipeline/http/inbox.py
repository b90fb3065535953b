"""Where webhooks go: to the pipelines that are served."""

from __future__ import annotations

from collections.abc import Mapping

from pipeline.config.triggers import Forge
from pipeline.daemon.supervisor import Attendant
from pipeline.store.records import Trigger
from pipeline.store.store import Store
from pipeline.triggers.webhook import Delivery


class ServedInbox:
    """Takes deliveries in for served pipelines. See `Inbox`."""

    def __init__(self, attendants: Mapping[str, Attendant], store: Store) -> None:
        self._attendants = attendants
        self._store = store

    def secret(self, pipeline: str, forge: Forge) -> str | None:
        """What the forge signs with."""
        attendant = self._attendants.get(pipeline)
        if attendant is None:
            return None
        configuration = attendant.served.workshop.configuration
        hook = configuration.pipeline.triggers.webhooks.get(forge)
        return configuration.secrets.resolve(hook.secret) if hook else None

    def is_replay(self, pipeline: str, digest: str) -> bool:
        """Whether it came before."""
        return not self._store.deliveries.take(pipeline, digest)

    def forget(self, pipeline: str, digest: str) -> None:
        """It could not be taken in."""
        self._store.deliveries.forget(pipeline, digest)

    def arrive(self, pipeline: str, delivery: Delivery) -> None:  # noqa: ARG002  # we look for ourselves
        """A forge says that something is new: see what is there."""
        self._attendants[pipeline].call(Trigger.WEBHOOK)
