"""The event bus: what a run emits reaches the store, the terminal, and every other listener."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from pipeline.base.masking import mask_shown
from pipeline.base.printable import escape_controls
from pipeline.event_kinds import EventKind

Value = str | int | float | bool | None


@dataclass(frozen=True)
class Event:
    """One event. `kind` and `fields` are for machines, see `EventKind`; `message` is for people.

    `kind` is a plain string: a database may hold kinds of other versions.
    """

    kind: str
    message: str
    pipeline: str
    run: int | None = None
    fields: Mapping[str, Value] = field(default_factory=dict)
    at: datetime = field(default_factory=lambda: datetime.now(UTC))


Listener = Callable[[Event], None]


class Events:
    """Sends each event to every listener, one event at a time, in the order they were emitted.

    `clean` is applied to every text first, so that no listener can leak a secret. Control characters are escaped, so
    that no text from outside can forge a line on a terminal. Safe to use from any thread.

    `by` is the user whose action is carried out, None for what the daemon does by itself.
    """

    def __init__(
        self,
        pipeline: str,
        run: int | None = None,
        clean: Callable[[str], str] = lambda text: text,
        by: str | None = None,
    ) -> None:
        self.pipeline = pipeline
        self.run = run
        self.by = by
        self._clean = clean
        self._listeners: list[Listener] = []
        self._lock = threading.Lock()

    def subscribe(self, listener: Listener) -> None:
        """Call `listener` with each event from now on."""
        self._listeners.append(listener)

    def emit(self, kind: EventKind, message: str, **fields: Value) -> None:
        """Send an event to every listener. Exceptions raised by a listener propagate to the caller.

        Raises `ValueError` for a field that the catalogue does not give to this kind.
        """
        if unknown := fields.keys() - kind.fields:
            raise ValueError(f"{kind} has no field {', '.join(sorted(unknown))}")
        texts = {key: self.printable(value) if isinstance(value, str) else value for key, value in fields.items()}
        event = Event(kind.value, self.printable(message), self.pipeline, self.run, texts)
        with self._lock:
            for listener in self._listeners:
                listener(event)

    def emit_action(self, kind: EventKind, message: str, **fields: Value) -> None:
        """Send an event that an action of a user has caused. Its message and its field `by` name the user, if known."""
        if self.by is None:
            self.emit(kind, message, **fields)
        else:
            self.emit(kind, f"{message} (by {self.by})", **fields, by=self.by)

    def printable(self, text: str) -> str:
        """Return a text as events show it: without secrets, and with control characters escaped."""
        return mask_shown(text, self._clean, escape_controls)
