"""Lines of a run's log. Both functions read a bounded part of the file, however large it is."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pipeline.http.log_file import log_size
from pipeline.http.responses.run_log import RunLogLineResponse, RunLogResponse
from pipeline.store.run_log import LogLine, read_log

MAX_BYTES = 2**18
"""What one look reads of a log, apart from the end of its last line."""
# Lines of usual lengths are found in the first bytes. Long ones may need more.
_TAIL, _MAX_TAIL = 2**15, 2**21


def run_log_from(path: Path, start: int, most: int = MAX_BYTES) -> RunLogResponse:
    """Return the lines after the byte offset `start`, about `most` bytes of them.

    A line that is being written is not among them. The offset is 0, `next` or the `end` of a line.
    """
    found, start = list[LogLine](), min(start, log_size(path))
    for line in read_log(path, start):
        found.append(line)
        if line.end - start >= most:
            break
    return _response(found, start)


def run_log_tail(path: Path, most: int, limit: int = _MAX_TAIL) -> RunLogResponse:
    """Return the last lines, at most `most`, from at most `limit` bytes. A last line that is longer is returned too."""
    span, size = min(_TAIL, limit), log_size(path)
    while True:
        start = max(0, size - span)
        found = list(read_log(path, start))
        if len(found) >= most or not start or span >= (limit if found else _MAX_TAIL):
            break
        span *= 4
    # The offset of the first line is the end of the one before.
    begin = found[-most - 1].end if len(found) > most else start
    return _response(found[-most:], begin)


def _response(lines: Sequence[LogLine], start: int) -> RunLogResponse:
    found = [
        RunLogLineResponse(at=str(line.at), stage=str(line.stage), text=str(line.text), end=line.end) for line in lines
    ]
    return RunLogResponse(lines=found, start=start, next=found[-1].end if found else start)
