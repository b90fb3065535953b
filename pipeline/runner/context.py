"""The context that all work on one pipeline shares: configuration, store and listeners."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache

from pipeline.api import RunLog, StageContext
from pipeline.base.clock import Clock, SystemClock
from pipeline.base.errors import PenstockError
from pipeline.base.home import Home
from pipeline.base.masking import Mask
from pipeline.config.load import Configuration
from pipeline.events import Events, Listener
from pipeline.store.store import Store


class NullLog:
    """The log of work outside of any run."""

    def line(self, stage: str, text: str) -> None:
        """Drop the line."""


@dataclass(frozen=True)
class PipelineContext:
    """One pipeline, as one process works on it. Listeners get every event.

    `parameters` are those that the process was started with. `by` is the user whose command the process executes, None
    for a daemon.
    """

    home: Home
    configuration: Configuration
    store: Store
    listeners: Sequence[Listener] = ()
    parameters: Mapping[str, str] = field(default_factory=dict)
    clock: Clock = field(default_factory=SystemClock)
    by: str | None = None

    @property
    def pipeline(self) -> str:
        """The name of the pipeline."""
        return self.configuration.pipeline.name

    def mask(self, text: str) -> str:
        """Return `text` without the pipeline's secrets."""
        return _mask_of(self.configuration.secrets.values())(text)

    @contextmanager
    def masking_errors(self) -> Iterator[None]:
        """Mask the secrets in errors: an error may quote what a container printed."""
        try:
            yield
        except PenstockError as error:
            error.mask(self.mask)
            raise

    def events(self, run: int | None = None, by: str | None = None) -> Events:
        """Return the events of a run, or of the pipeline itself, with the store and every listener subscribed.

        `by` is the user whose action they report. Default: the user of the context.
        If the store fails, a run fails with it. Events of no run are buffered and stored later.
        """
        events = Events(self.pipeline, run, self.mask, by or self.by)
        events.subscribe(self.store.events.buffer if run is None else self.store.events.record)
        for listener in self.listeners:
            events.subscribe(listener)
        return events

    def stage_context(
        self,
        events: Events | None = None,
        run: int = 0,
        log: RunLog | None = None,
        cancelled: threading.Event | None = None,
    ) -> StageContext:
        """Return what a stage may use, in a run or outside of any."""
        return StageContext(
            home=self.home,
            configuration=self.configuration,
            run=run,
            store=self.store,
            events=events or self.events(),
            log=log or NullLog(),
            cancelled=cancelled or threading.Event(),
            clock=self.clock,
        )


@lru_cache(maxsize=16)
def _mask_of(secrets: tuple[str, ...]) -> Mask:
    return Mask(secrets)
