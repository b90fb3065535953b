"""What has been added to the logs of runs between two looks at them."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Hashable
from pathlib import Path

from pipeline.http.log_file import log_size
from pipeline.http.responses.run_log import RunLogResponse
from pipeline.http.run_log import run_log_from, run_log_tail

# Of what was added meanwhile. An open page that needs more asks for it.
_MOST, _LINES = 2**15, 200
_MAX_LOGS = 64


class LogGrowth:
    """The latest lines of logs. Safe to use from any thread.

    All pages that show a log get the same lines, those since the look before. Each knows how far it has come, and asks
    for what it has missed.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._found: OrderedDict[Hashable, RunLogResponse] = OrderedDict()

    def look(self, key: Hashable, path: Path) -> RunLogResponse:
        """Return the lines that were added before this look, or before an earlier one if there are no newer ones."""
        with self._lock:
            before = self._found.pop(key, None)
            if before is None:
                end = run_log_tail(path, 1).next
                found = RunLogResponse(lines=[], start=end, next=end)
            else:
                found = _added(path, before)
            self._found[key] = found
            if len(self._found) > _MAX_LOGS:
                self._found.popitem(last=False)
            return found


def _added(path: Path, before: RunLogResponse) -> RunLogResponse:
    if log_size(path) - before.next > _MOST:
        return run_log_tail(path, _LINES, _MOST)
    found = run_log_from(path, before.next)
    return found if found.lines else before
