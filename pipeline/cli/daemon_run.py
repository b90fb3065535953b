"""Work that the daemon does for a command: asked for, shown as it comes, and ended as if we had done it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from pipeline.base.errors import (
    Cancelled,
    ConfigError,
    ExitCode,
    PenstockError,
    RollbackFailed,
    RolledBack,
    StageFailed,
    SystemFault,
)
from pipeline.cli.session import Session
from pipeline.event_kinds import EventKind
from pipeline.events import Event, Listener

if TYPE_CHECKING:
    from pipeline.http.client import Client
    from pipeline.runner.local import Runner

_LOOK = 0.1
_ERRORS: dict[int, type[PenstockError]] = {
    ExitCode.FAILED: StageFailed,
    ExitCode.BAD_CONFIGURATION: ConfigError,
    ExitCode.ROLLED_BACK: RolledBack,
    ExitCode.ROLLBACK_FAILED: RollbackFailed,
    ExitCode.CANCELLED: Cancelled,
}


def submit_or_run(
    opened: Session,
    body: dict[str, Any],
    directly: Callable[[Runner], object],
    shown: Listener,
    cancelled: threading.Event,
) -> None:
    """Have the daemon do what `body` says, or do it `directly` where there is none. Raises what it came to."""
    if opened.daemon is None:
        directly(opened.runner([shown], cancelled))
        return
    # A file with mistakes is told here, as without a daemon; the daemon would go on with what it has read before.
    _ = opened.configuration
    run = opened.daemon.ask("POST", f"/v1/pipelines/{opened.name}/runs", body)
    follow(opened.daemon, opened.name, run["number"], shown, cancelled)


def follow(client: Client, pipeline: str, number: int, shown: Listener, cancelled: threading.Event) -> None:
    """Show a run until it is over; raises what it came to. When `cancelled` is set, it is given up."""
    over = threading.Event()

    def give_up() -> None:
        while not over.wait(_LOOK):
            if cancelled.is_set():
                # What is over meanwhile, or about to be, is seen by its events.
                with suppress(PenstockError):
                    client.ask("POST", f"/v1/pipelines/{pipeline}/runs/{number}/cancel")
                return

    threading.Thread(target=give_up, name="give-up", daemon=True).start()
    last: Event | None = None
    try:
        for event in client.events(pipeline, number):
            shown(event)
            last = event
    finally:
        over.set()
    if (error := error_of(last)) is not None:
        raise error


def error_of(last: Event | None) -> PenstockError | None:
    """What a run's last event comes to for whoever waited for it; None when all is well."""
    if last is None:
        return None
    if last.kind in (EventKind.RUN_SUPERSEDED, EventKind.RUN_CANCELLED):
        return Cancelled(last.message)
    code = last.fields.get("code")
    if not isinstance(code, int):
        return None
    hint, tail = last.fields.get("hint"), str(last.fields.get("tail") or "")
    error = _ERRORS.get(code, SystemFault)(str(last.fields.get("reason")), hint=str(hint) if hint else None)
    error.tail = tuple(tail.splitlines())
    return error
