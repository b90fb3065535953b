"""A message to a reporter: an event, and the run at that time."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field

from pipeline.events import Event
from pipeline.store.records import Run, RunState

_WORDS = {"started": RunState.RUNNING}


@dataclass(frozen=True)
class Report:
    """A message to a reporter. `id` stays the same across retries."""

    event: Event
    run: Run
    id: str = field(default_factory=lambda: str(uuid.uuid4()))

    @property
    def state(self) -> RunState | None:
        """The state of the run after this event, or None if the event does not change it."""
        word = self.event.kind.removeprefix("run.")
        state = self.event.fields.get("state") if word == "finished" else _WORDS.get(word, word)
        return RunState(state) if state in list(RunState) else None

    @property
    def summary(self) -> str:
        """One line with the event's message and its reason, if any."""
        reason = str(self.event.fields.get("reason") or "").strip().partition("\n")[0]
        message = self.event.message
        return message if not reason or reason in message else f"{message}: {reason}"
