"""Runs that the daemon executes for a command: submitted, followed, and finished with the same exit code."""

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
    from pipeline.runner.local import Runner

_POLL_INTERVAL = 0.1
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
    """Submit `body` to the daemon and follow the run, or run `directly` without a daemon. Raises the run's error.

    `body` is what the API describes as `SubmitRun`, without the parameters of the command line.
    """
    if opened.daemon is None:
        directly(opened.runner([shown], cancelled))
        return
    try:
        # Strict: raise for an invalid file, as without a daemon. Else the daemon would use the file as it was before.
        wanted = {**body, "parameters": opened.parameters, "strict": True, "by": opened.user}
        run = opened.daemon.ask("POST", f"/v1/pipelines/{opened.name}/runs", wanted)
    except ConfigError as error:
        # Prefer the error of the file as the user named it.
        if opened.configuration and "environment variable" in error.message:
            error.hint = "the daemon has its own environment: restart it with this variable"
        raise
    follow(opened, run["number"], shown, cancelled)


def follow(opened: Session, number: int, shown: Listener, cancelled: threading.Event) -> None:
    """Show the events of a run until it has finished, and raise its error. Cancel the run when `cancelled` is set.

    The session has a daemon.
    """
    client, pipeline, finished = opened.daemon, opened.name, threading.Event()
    assert client is not None

    def forward_cancel() -> None:
        while not finished.wait(_POLL_INTERVAL):
            if cancelled.is_set():
                # The run may have finished meanwhile. Its events show the outcome.
                with suppress(PenstockError):
                    client.ask("POST", f"/v1/pipelines/{pipeline}/runs/{number}/cancel", {"by": opened.user})
                return

    threading.Thread(target=forward_cancel, name="cancel", daemon=True).start()
    last: Event | None = None
    try:
        for event in client.events(pipeline, number):
            shown(event)
            last = event
    finally:
        finished.set()
    if (error := error_of(last)) is not None:
        raise error


def error_of(last: Event | None) -> PenstockError | None:
    """Return the error of a run from its last event, or None if it succeeded or was skipped."""
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
