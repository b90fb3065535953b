"""The log of one run: the output of its stages, one JSON object per line, with secrets masked."""

from __future__ import annotations

import io
import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import takewhile
from pathlib import Path
from typing import Self

from pipeline.base.errors import StoreFault
from pipeline.base.masking import mask_shown
from pipeline.base.printable import strip_controls

_LINE_LIMIT = 16 * 1024
_FILE_LIMIT = 64 * 2**20
# The longest encoded secret that is masked if a cut line splits it.
_OVERLAP = 8 * 1024
_POLL_INTERVAL = 0.1


@dataclass(frozen=True)
class LogLine:
    """One line of a run's log. `at` is UTC in ISO 8601. `end` is the byte offset of the next line."""

    at: str
    stage: str
    text: str
    end: int


class RunLogFile:
    """Writer of a run's log. A line is in the file when `line` returns. Safe to use from any thread.

    A line of 16 Ki characters or more is cut, and may itself be a piece of a longer one. A secret can be split over two
    such pieces. So the end of a cut line is not written where a secret may begin. It is masked together with the next
    line of the stage.
    """

    def __init__(self, path: Path, mask: Callable[[str], str], limit: int = _FILE_LIMIT) -> None:
        self._mask = mask
        self._limit = limit
        self._lock = threading.Lock()
        self._before: dict[str, str] = {}
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._file = _AppendOnlyFile(path)
        except OSError as error:
            raise StoreFault(f"cannot write {path}: {error.strerror}") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the log. Later lines are dropped."""
        with suppress(OSError):
            self._file.close()

    @property
    def is_full(self) -> bool:
        """True if every later line is dropped."""
        return self._file.size > self._limit

    @property
    def last_line(self) -> str:
        """The last line of a log that has reached its limit."""
        return f"the log has reached {self._limit >> 20} MiB, later lines are dropped"

    def line(self, stage: str, text: str) -> None:
        """Write one line. At its limit, 64 MiB by default, the log ends with a line that says so.

        Raises `StoreFault`.
        """
        with self._lock:
            if self._file.closed or self.is_full:
                return
            kept = self._kept(stage, text)
            if self._file.size + len(kept.encode(errors="replace")) + 80 > self._limit:
                kept = self.last_line
                self._file.size = self._limit
            try:
                entry = {"at": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%fZ}", "stage": stage, "text": kept}
                self._file.append(json.dumps(entry, ensure_ascii=False))
            except OSError as error:
                raise StoreFault(f"cannot write the run's log: {error.strerror}") from error

    def _kept(self, stage: str, text: str) -> str:
        """Return the part of a line that may be on disk, masked."""
        masked = self._after(self._before.pop(stage, ""), text)
        if len(text) < _LINE_LIMIT:
            return masked
        self._before[stage] = text[-_OVERLAP:]
        end = min(_LINE_LIMIT, max(0, len(masked) - _OVERLAP))
        return f"{masked[:end]} … ({len(text)} characters, cut)"

    def _after(self, before: str, text: str) -> str:
        """Mask `text`, and the rest of a secret that began in `before`."""
        masked, whole = self._clean(before), self._clean(before + text)
        shared = takewhile(lambda pair: pair[0] == pair[1], zip(masked, whole, strict=False))
        return whole[len(list(shared)) :]

    def _clean(self, text: str) -> str:
        return mask_shown(text, self._mask, strip_controls)


class _AppendOnlyFile:
    """A file that lines are appended to. A line that a full disk truncated is ended before the next one."""

    def __init__(self, path: Path) -> None:
        self._raw = io.FileIO(path, "a+", opener=lambda name, flags: os.open(name, flags, 0o600))
        self.size = os.fstat(self._raw.fileno()).st_size
        self._torn = self.size > 0 and os.pread(self._raw.fileno(), 1, self.size - 1) != b"\n"

    @property
    def closed(self) -> bool:
        return self._raw.closed

    def close(self) -> None:
        self._raw.close()

    def append(self, text: str) -> None:
        """Append a line. Raises `OSError`."""
        rest = b"\n" * self._torn + text.encode(errors="backslashreplace") + b"\n"
        self._torn = True
        while rest:
            written = self._raw.write(rest)
            self.size += written
            rest = rest[written:]
        self._torn = False


def read_log(path: Path, start: int = 0) -> Iterator[LogLine]:
    """Yield the lines of a run's log from a byte offset on, which is 0 or the `end` of a line.

    Lines that a crash or a full disk truncated are left out. An offset after the end yields nothing.
    """
    with suppress(FileNotFoundError), path.open("rb") as file:
        # A file system refuses offsets that are larger than its largest file.
        file.seek(min(start, os.fstat(file.fileno()).st_size))
        for line in file:
            start += len(line)
            if (parsed := _parse(line, start)) is not None:
                yield parsed


def follow(path: Path, finished: Callable[[], bool], start: int = 0) -> Iterator[LogLine]:
    """Yield the lines of a run's log as they are written, until `finished` returns True and all are read."""
    while True:
        last = finished()
        for line in read_log(path, start):
            start = line.end
            yield line
        if last:
            return
        time.sleep(_POLL_INTERVAL)


def _parse(line: bytes, end: int) -> LogLine | None:
    try:
        entry = json.loads(line)
        return LogLine(entry["at"], entry["stage"], entry["text"], end)
    except (ValueError, KeyError, TypeError):
        return None
