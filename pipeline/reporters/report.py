"""What a reporter is told: something that happened to a run, and the run as it was then."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field

from pipeline.events import Event
from pipeline.store.records import Run, RunState

_WORDS = {"started": RunState.RUNNING}


@dataclass(frozen=True)
class Report:
    """One message. `id` stays the same when it is sent again."""

    event: Event
    run: Run
    id: str = field(default_factory=lambda: str(uuid.uuid4()))

    @property
    def state(self) -> RunState | None:
        """How the run stands by this event; None where it says nothing about that."""
        word = self.event.kind.removeprefix("run.")
        said = self.event.fields.get("state") if word == "finished" else _WORDS.get(word, word)
        return RunState(said) if said in list(RunState) else None

    @property
    def summary(self) -> str:
        """One line: what happened, and why where that is known."""
        reason = str(self.event.fields.get("reason") or "").strip().partition("\n")[0]
        message = self.event.message
        return message if not reason or reason in message else f"{message}: {reason}"
