"""The log of one run: every line that its stages' tools print, one JSON object a line, secrets masked."""

from __future__ import annotations

import json
import os
import re
import threading
import time
from collections.abc import Callable, Iterator, MutableMapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Self

from pipeline.errors import StoreFault

_LINE_LIMIT = 16 * 1024
_FILE_LIMIT = 64 * 2**20
_CONTROL = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|\x1b\][^\x07]*\x07|[\x00-\x08\x0b-\x1f\x7f]")
_POLL = 0.1


@dataclass(frozen=True)
class LogLine:
    """One line of a run's log. `at` is local time of day, to the millisecond."""

    at: str
    stage: str
    text: str


class RunLogFile:
    """Writes a run's log. Every line is in the file when `line` returns. Safe to use from any thread."""

    def __init__(self, path: Path, mask: Callable[[str], str]) -> None:
        self._mask = mask
        self._lock = threading.Lock()
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        except OSError as error:
            raise StoreFault(f"cannot write {path}: {error.strerror}") from error
        self._file = os.fdopen(descriptor, "w", buffering=1, errors="backslashreplace")
        self._size = path.stat().st_size

    @cached_property
    def _logger(self) -> Any:
        # 80 ms, which are paid while somebody else works: whoever prints the first line.
        import structlog

        return structlog.wrap_logger(
            structlog.WriteLogger(self._file),
            processors=[
                self._clean,
                structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
                structlog.processors.EventRenamer("text"),
                structlog.processors.JSONRenderer(ensure_ascii=False, sort_keys=True),
            ],
            wrapper_class=structlog.BoundLogger,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the log."""
        with suppress(OSError):
            self._file.close()

    def line(self, stage: str, text: str) -> None:
        """Keep one line. Past 64 MiB the log says so once and keeps no more: the disk is for other things too."""
        with self._lock:
            if self._size > _FILE_LIMIT:
                return
            self._size += len(text) + 80
            if self._size > _FILE_LIMIT:
                text = f"the log has reached {_FILE_LIMIT >> 20} MiB: nothing more is kept"
            try:
                self._logger.info(text, stage=stage)
            except OSError as error:
                raise StoreFault(f"cannot write the run's log: {error.strerror}") from error

    def _clean(self, _: object, __: str, entry: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        text = self._mask(_CONTROL.sub("", entry["event"]))
        entry["event"] = text if len(text) <= _LINE_LIMIT else f"{text[:_LINE_LIMIT]} … ({len(text)} characters, cut)"
        return entry


def read_log(path: Path) -> Iterator[LogLine]:
    """The lines of a run's log. A last line that a crash cut short is left out."""
    try:
        with path.open(errors="replace") as file:
            for line in file:
                if (parsed := _parse(line)) is not None:
                    yield parsed
    except FileNotFoundError:
        return


def follow(path: Path, finished: Callable[[], bool]) -> Iterator[LogLine]:
    """The lines of a run's log as they come, until `finished` and everything is read."""
    position, rest = 0, b""
    while True:
        last = finished()
        with suppress(FileNotFoundError), path.open("rb") as file:
            file.seek(position)
            rest += file.read()
            position = file.tell()
        *lines, rest = rest.split(b"\n")
        yield from (parsed for line in lines if (parsed := _parse(line)) is not None)
        if last:
            return
        time.sleep(_POLL)


def _parse(line: str | bytes) -> LogLine | None:
    try:
        entry = json.loads(line)
        return LogLine(entry["at"], entry["stage"], entry["text"])
    except (ValueError, KeyError, TypeError):
        return None
