"""Accessories in the daemon: what should run and does not is started, and what was interrupted is completed."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING

from pipeline.base.backoff import Backoff
from pipeline.base.errors import PenstockError
from pipeline.event_kinds import EventKind
from pipeline.runner.context import PipelineContext

if TYPE_CHECKING:
    from pipeline.accessories.accessories import Accessories
    from pipeline.engine.interfaces import Engine

# Docker's restart policy does the rest, so this is for containers that were removed or do not come back.
_CHECK_INTERVAL = timedelta(seconds=10)
_UNSETTLED_INTERVAL = timedelta(seconds=1)
# Of a pipeline without accessories: a command may have started some.
_IDLE_INTERVAL = timedelta(minutes=1)
_BACKOFF = Backoff(timedelta(seconds=5), timedelta(minutes=5))


def _local_engine(home: str) -> Engine:
    from pipeline.engine.hosts import local_engine

    return local_engine(home)


class AccessoryLoop:
    """Repairs the accessories of one pipeline. One thread at a time calls `step`.

    A pipeline without accessories loads nothing of them and does not ask the engine.
    """

    def __init__(
        self,
        pipeline_context: Callable[[], PipelineContext],
        open_engine: Callable[[str], Engine] = _local_engine,
    ) -> None:
        self._pipeline_context = pipeline_context
        self._open_engine = open_engine
        self._engine: Engine | None = None
        self._known: tuple[PipelineContext, Accessories] | None = None
        self._backoff = _BACKOFF
        self._last_reported = ""

    def step(self) -> timedelta:
        """Start what does not run, and return the time until the next call."""
        context = self._pipeline_context()
        if not context.store.accessories.all(context.pipeline):
            self.close()
            return _IDLE_INTERVAL
        try:
            is_settled = self._accessories(context).repair()
        except PenstockError as error:
            self.close()
            self._report(context, context.mask(error.message))
            delay, self._backoff = self._backoff.delay(), self._backoff.after(succeeded=False)
            return delay
        self._backoff, self._last_reported = _BACKOFF, ""
        return _CHECK_INTERVAL if is_settled else _UNSETTLED_INTERVAL

    def close(self) -> None:
        """Close the connection. No step may run."""
        self._known = None
        if self._engine is not None:
            self._engine.close()
            self._engine = None

    def _accessories(self, context: PipelineContext) -> Accessories:
        """Return the accessories of the current configuration. The same object counts the time of a start."""
        from pipeline.accessories.accessories import Accessories

        if self._known is None or self._known[0] is not context:
            self._engine = self._engine or self._open_engine(context.home.id)
            self._known = context, Accessories(context.stage_context(), self._engine)
        return self._known[1]

    def _report(self, context: PipelineContext, text: str) -> None:
        """Emit a failure once per reason."""
        if text != self._last_reported:
            context.events().emit(EventKind.RECONCILE_FAILED, f"accessories: {text}")
            self._last_reported = text
