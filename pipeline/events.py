"""What happens in a run, told as it happens to whoever listens: the store, the terminal, later the web page."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

Value = str | int | float | bool | None


@dataclass(frozen=True)
class Event:
    """One thing that happened. `kind` is for machines (`target.healthy`), `message` for people."""

    kind: str
    message: str
    pipeline: str
    run: int | None = None
    fields: Mapping[str, Value] = field(default_factory=dict)
    at: datetime = field(default_factory=lambda: datetime.now(UTC))


Listener = Callable[[Event], None]


class Events:
    """Tells every listener of each event, one event at a time, in the order they were emitted.

    `clean` is applied to every text first, so that no listener can leak a secret. Safe to use from any thread.
    """

    def __init__(self, pipeline: str, run: int | None = None, clean: Callable[[str], str] = lambda text: text) -> None:
        self.pipeline = pipeline
        self.run = run
        self._clean = clean
        self._listeners: list[Listener] = []
        self._lock = threading.Lock()

    def subscribe(self, listener: Listener) -> None:
        """Call `listener` with each event from now on."""
        self._listeners.append(listener)

    def emit(self, kind: str, message: str, **fields: Value) -> None:
        """Tell of one thing that happened. What a listener raises reaches the caller: an event is never half told."""
        cleaned = {key: self._clean(value) if isinstance(value, str) else value for key, value in fields.items()}
        event = Event(kind, self._clean(message), self.pipeline, self.run, cleaned)
        with self._lock:
            for listener in self._listeners:
                listener(event)
