"""What all work on one pipeline shares: its configuration, where it is written down, who hears of it."""

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
    """Where no run is, nothing is logged."""

    def line(self, stage: str, text: str) -> None:
        """Keep nothing."""


@dataclass(frozen=True)
class PipelineContext:
    """One pipeline, as one process works on it. Listeners hear every event.

    `parameters` are those that it was asked to work with.
    """

    home: Home
    configuration: Configuration
    store: Store
    listeners: Sequence[Listener] = ()
    parameters: Mapping[str, str] = field(default_factory=dict)
    clock: Clock = field(default_factory=SystemClock)

    @property
    def pipeline(self) -> str:
        """The name of the pipeline."""
        return self.configuration.pipeline.name

    def mask(self, text: str) -> str:
        """`text` without the pipeline's secrets."""
        return _mask_of(self.configuration.secrets.values())(text)

    @contextmanager
    def masking_errors(self) -> Iterator[None]:
        """An error may quote what a container printed: no secret of it leaves us."""
        try:
            yield
        except PenstockError as error:
            error.mask(self.mask)
            raise

    def events(self, run: int | None = None) -> Events:
        """What tells of a run, or of the pipeline itself, to the store and to every listener.

        A run of which nothing can be written down fails. What is of no run goes on, and is written down later.
        """
        events = Events(self.pipeline, run, self.mask)
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
        """What a stage may use, of a run or apart from any."""
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
