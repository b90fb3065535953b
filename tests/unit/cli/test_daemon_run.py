"""A run of the daemon ends a command like a run of the command itself."""

from __future__ import annotations

import pytest

from pipeline.base.errors import ExitCode, PenstockError
from pipeline.cli.daemon_run import error_of
from pipeline.events import Event


def finished(code: ExitCode) -> Event:
    fields = {"code": int(code), "reason": "no branch nosuch", "hint": "look", "tail": "one\ntwo"}
    return Event("run.finished", "run 1: failed", "shop", 1, fields)


@pytest.mark.parametrize(
    "code", [code for code in ExitCode if code is not ExitCode.SUCCEEDED], ids=lambda code: code.name
)
def test_every_exit_code_comes_through(code: ExitCode) -> None:
    """Each exit code is returned with the reason, the hint and the last lines."""
    error = error_of(finished(code))
    assert isinstance(error, PenstockError)
    assert (error.exit_code, error.message, error.hint) == (code, "no branch nosuch", "look")
    assert error.tail == ("one", "two")


def test_what_succeeded_raises_nothing() -> None:
    """A succeeded or skipped run raises nothing."""
    assert error_of(Event("run.finished", "run 1: succeeded", "shop", 1, {"state": "succeeded"})) is None


@pytest.mark.parametrize("kind", ["run.superseded", "run.cancelled"])
def test_a_run_that_never_started_is_cancelled(kind: str) -> None:
    """A run that was superseded or cancelled in the queue raises `Cancelled`."""
    error = error_of(Event(kind, "run 1 superseded by run 2", "shop", 1))
    assert error is not None
    assert error.exit_code is ExitCode.CANCELLED
