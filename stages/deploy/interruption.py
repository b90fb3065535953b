"""The end of a deployment before its time: its run is cancelled, or `pipeline abort` was called."""

from __future__ import annotations

import threading
from contextlib import suppress

from pipeline.api import StageContext
from pipeline.base.clock import Clock
from pipeline.base.errors import StoreFault
from pipeline.store.deployment_answers import Abort, DeploymentAnswers
from pipeline.store.records import Deployment
from stages.deploy.polled_event import PolledEvent

_POLL_SECONDS = 0.5


class Interruption(PolledEvent):
    """Is set once the run of a deployment is cancelled, or the deployment is aborted in the store.

    Everything that waits for the event of its context stops in both cases. Safe from any thread.
    """

    def __init__(
        self, cancelled: threading.Event, answers: DeploymentAnswers, deployment: Deployment, clock: Clock
    ) -> None:
        super().__init__(cancelled)
        self._answers = answers
        self._deployment = deployment
        self._clock = clock
        self._checked = float("-inf")
        self.abort: Abort | None = None
        """The order to roll back, None as long as it was not seen."""

    @classmethod
    def of(cls, context: StageContext, deployment: Deployment) -> Interruption:
        """Return the interruption of a deployment, which replaces the event of its context."""
        return cls(context.cancelled, context.store.deployment_answers, deployment, context.clock)

    @property
    def is_cancelled(self) -> bool:
        """True if the run was cancelled, which goes before an abort."""
        return self._inner.is_set()

    def is_set(self) -> bool:
        """Return whether the deployment must end. Cheap enough to call all the time."""
        return self._inner.is_set() or self._is_aborted()

    def _is_aborted(self) -> bool:
        now = self._clock.monotonic()
        if self.abort is None and now - self._checked >= _POLL_SECONDS:
            self._checked = now
            # A lock or a full disk must not end a deployment. The next look finds the order.
            with suppress(StoreFault):
                self.abort = self._answers.aborted(self._deployment.id)
        return self.abort is not None
