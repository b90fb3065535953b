"""The output of the runs of jobs as lines with the time of each, in the form of a container's log."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

from pipeline.store.replica_logs import stamp_of
from pipeline.store.run_log import read_log

_SUFFIX = ".jsonl"


class JobLogs:
    """The logs of all runs of one pipeline's jobs, by the name of their container.

    A line begins with its time, 30 characters of UTC, and a space.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def names(self) -> list[str]:
        """Return the names of the containers, in no order."""
        return [path.name.removesuffix(_SUFFIX) for path in self._folder.glob(f"*{_SUFFIX}")]

    def read(self, name: str, start: int = 0) -> Iterator[tuple[bytes, int]]:
        """Yield each line from a byte offset on, with the offset of the next one."""
        for line in read_log(self._path(name), start):
            # Docker's times have nanoseconds.
            yield f"{line.at[:-1]}000Z {line.text}".encode(errors="replace"), line.end

    def lines(self, name: str) -> Iterator[bytes]:
        """Yield every line."""
        return (line for line, _ in self.read(name))

    def written_at(self) -> dict[str, bytes]:
        """Return when each log was written last, as the time of a line."""
        found = {}
        for name in self.names():
            with suppress(FileNotFoundError):
                found[name] = stamp_of(self._path(name).stat().st_mtime_ns)
        return found

    def size(self, name: str) -> int:
        """Return the size of a log, 0 if it is gone."""
        try:
            return self._path(name).stat().st_size
        except FileNotFoundError:
            return 0

    def _path(self, name: str) -> Path:
        return self._folder / f"{name}{_SUFFIX}"


class JobLogFollower:
    """Follows the logs of runs: those that are still written, from their start, and those of later runs."""

    def __init__(self, logs: JobLogs, is_written: Callable[[str], bool]) -> None:
        self._logs = logs
        self._read = {name: 0 if is_written(name) else logs.size(name) for name in logs.names()}

    def arrived(self) -> dict[str, list[bytes]]:
        """Return the new lines of each run."""
        found: dict[str, list[bytes]] = {}
        for name in self._logs.names():
            start = self._read.setdefault(name, 0)
            if self._logs.size(name) <= start:
                continue
            for line, end in self._logs.read(name, start):
                found.setdefault(name, []).append(line)
                self._read[name] = end
        return found
