"""The moments of a deployment at which a user's hooks run."""

from __future__ import annotations

import threading
from typing import Protocol

from pipeline.config.hooks import LifecycleEvent as LifecycleEvent
from pipeline.config.service_spec import ServiceSpec


class Lifecycle(Protocol):
    """Runs the hooks of one deployment of a service.

    A deployment that continues after a kill comes to the moment again in which the process died.
    """

    def run(self, event: LifecycleEvent, interrupted: threading.Event | None = None) -> None:
        """Run the hooks of a moment. Raises `StageFailed`, which rolls back, and `Cancelled`.

        Once `interrupted` is set, the hook that runs is ended, and it raises `Cancelled`. Without it, the event of the
        deployment does that. It is polled at least once a second, by this thread.
        """


def is_done(event: LifecycleEvent, last: str) -> bool:
    """Return whether the hooks of an event have run, when those of `last` were the last ones, or none if empty."""
    order = list(LifecycleEvent)
    return bool(last) and order.index(event) <= order.index(LifecycleEvent(last))


class NoHooks:
    """The life cycle of a service without hooks."""

    def run(self, event: LifecycleEvent, interrupted: threading.Event | None = None) -> None:
        """Do nothing."""


class HooksFactory(Protocol):
    """Makes the hooks of a service for its rollout to a release."""

    def __call__(self, spec: ServiceSpec, release: int) -> Lifecycle:
        """Return the hooks."""


def no_hooks(spec: ServiceSpec, release: int) -> Lifecycle:  # noqa: ARG001
    """Return no hooks."""
    return NoHooks()
