"""The watch over a new release that gets requests while a hook runs."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial

from pipeline.base.clock import Clock
from pipeline.base.errors import Cancelled, PenstockError
from stages.deploy.executor import RolloutExecutor
from stages.deploy.fault_wait import FaultWait
from stages.deploy.lifecycle import Lifecycle, LifecycleEvent
from stages.deploy.polled_event import PolledEvent
from stages.deploy.step_watch import LOOK_INTERVAL


class HookWatch(PolledEvent):
    """Is set once a hook must end: the deployment is interrupted, or `look` has raised an error.

    Hooks poll the event of their deployment while they run. This one calls `look` about once a second then, which
    watches the new release and raises what fails it. For one thread.
    """

    def __init__(self, interrupted: threading.Event, look: Callable[[], object], clock: Clock) -> None:
        super().__init__(interrupted)
        self._look = look
        self._clock = clock
        self._looked_at = float("-inf")
        self._failure: PenstockError | None = None

    def run(self, hooks: Lifecycle, event: LifecycleEvent) -> None:
        """Run the hooks of an event. What has failed the release is raised in place of their own error."""
        try:
            hooks.run(event, self)
        except PenstockError:
            self._raise_failure()
            raise
        self._raise_failure()

    def is_set(self) -> bool:
        """Return whether the hook must end."""
        return super().is_set() or self._has_failed()

    def _has_failed(self) -> bool:
        if self._failure is None and self._clock.monotonic() - self._looked_at >= LOOK_INTERVAL.total_seconds():
            try:
                # Cancelled while it looked. The hook finds that by the inner event.
                with suppress(Cancelled):
                    self._look()
            except PenstockError as failure:
                self._failure = failure
            self._looked_at = self._clock.monotonic()
        return self._failure is not None

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise self._failure


def run_watched(
    hooks: Lifecycle,
    event: LifecycleEvent,
    executor: RolloutExecutor,
    faults: FaultWait,
    interrupted: threading.Event,
    clock: Clock,
) -> None:
    """Run the hooks of an event while the executor keeps and watches the replicas of the new release.

    Raises what they raise, and what the executor raises, which ends the hook that runs.
    """
    with executor.rounds() as next_round:
        HookWatch(interrupted, partial(faults.tolerate, next_round), clock).run(hooks, event)
