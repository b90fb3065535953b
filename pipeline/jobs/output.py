"""The output of a job's run, kept in the home: masked, and up to a limit."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from pipeline.store.run_log import RunLogFile, read_log

MAX_BYTES = 8 * 2**20
"""The largest log of one run."""
MAX_RUNS = 100
"""The most runs of a job that are kept."""


class JobOutput:
    """Writes the lines of a container's output, which may be read again from the start after a kill.

    A line is in the file when `line` returns. `start_over` precedes each reading.
    """

    def __init__(self, path: Path, mask: Callable[[str], str], job: str) -> None:
        self._log = RunLogFile(path, mask, MAX_BYTES)
        self._job = job
        self._written, self._is_full = 0, False
        for line in read_log(path):
            self._written += 1
            self._is_full = line.text == self._log.last_line
        self._read = 0

    @property
    def is_full(self) -> bool:
        """True if every later line is dropped."""
        return self._is_full or self._log.is_full

    def start_over(self) -> None:
        """Expect the first line of the output next."""
        self._read = 0

    def line(self, text: str) -> None:
        """Write a line, unless an earlier reading has written it. Raises `StoreFault`."""
        self._read += 1
        if self._read > self._written and not self.is_full:
            self._log.line(self._job, text)
            self._written = self._read

    def close(self) -> None:
        """Close the file."""
        self._log.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
