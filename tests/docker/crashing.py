"""The command line, killed by SIGKILL at one point: `crashing.py POINT COMMAND …`.

POINT is an event's kind, or `log:` and the beginning of a line that a tool prints, and may end in `*N` for the
N-th time. It dies when the event is emitted, before its thread does anything else.
"""

from __future__ import annotations

import os
import signal
import sys
from typing import Any

from pipeline.cli.main import main
from pipeline.events import Events
from pipeline.store.run_log import RunLogFile

point, _, times = sys.argv.pop(1).partition("*")
left = int(times or 1)


def passing(what: str) -> None:
    """Die here if this is the point."""
    global left
    if what == point if not point.startswith("log:") else what.startswith(point):
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)


def emit(self: Events, kind: str, message: str, **fields: Any) -> None:
    heard(self, kind, message, **fields)
    passing(f"{kind} {fields['stage']}" if kind.startswith("stage.") else kind)


def line(self: RunLogFile, stage: str, text: str) -> None:
    kept(self, stage, text)
    passing(f"log:{text}")


heard, kept = Events.emit, RunLogFile.line
Events.emit, RunLogFile.line = emit, line  # type: ignore[method-assign]
main()
