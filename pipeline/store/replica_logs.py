"""The output of replicas that were removed: a compressed file for each, and the oldest are deleted."""

from __future__ import annotations

import gzip
import os
import zlib
from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

_SUFFIX = ".log.gz"
# Output compresses to a tenth or less, and each of Docker's logs has 50 MiB at most by default.
_MAX_BYTES = 64 * 2**20
_MAX_FILES = 1000
# A file that is gone, or that a power cut has damaged.
_UNREADABLE = (FileNotFoundError, EOFError, gzip.BadGzipFile, zlib.error)


class ReplicaLogs:
    """The output of the removed replicas of one pipeline: at most 64 MiB and 1,000 replicas.

    Any number of processes may use one folder. Raises `OSError`.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def save(self, replica: str, lines: Iterable[bytes]) -> None:
        """Store the output of a replica, or replace what is stored. All of it is stored, or nothing."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        # After a kill, the next process saves the same replica again before it removes it, and replaces the draft.
        draft = self._folder / f".{replica}.draft"
        try:
            with gzip.open(draft, "wb", compresslevel=1) as file:
                file.writelines(line + b"\n" for line in lines)
            draft.chmod(0o600)
            draft.replace(self._path(replica))
        finally:
            draft.unlink(missing_ok=True)
        self._delete_oldest()

    def names(self) -> list[str]:
        """Return the names of the replicas, the one that was removed first at the start."""
        return [path.name.removesuffix(_SUFFIX) for path, _ in self._files()]

    def written_at(self) -> dict[str, bytes]:
        """Return when the output of each replica was stored, as the time of a line. No line of it is later."""
        return {path.name.removesuffix(_SUFFIX): stamp_of(state.st_mtime_ns) for path, state in self._files()}

    def read(self, replica: str) -> Iterator[bytes]:
        """Yield the lines of a replica's output: none if it is not stored, and the first ones of a damaged file."""
        with suppress(*_UNREADABLE), gzip.open(self._path(replica)) as file:
            for line in file:
                yield line.rstrip(b"\n")

    def _path(self, replica: str) -> Path:
        return self._folder / f"{replica}{_SUFFIX}"

    def _files(self) -> list[tuple[Path, os.stat_result]]:
        """Return the files with their state, the oldest first."""
        found = []
        for path in self._folder.glob(f"*{_SUFFIX}"):
            # Another process may delete it.
            with suppress(FileNotFoundError):
                found.append((path, path.stat()))
        return sorted(found, key=lambda each: each[1].st_mtime_ns)

    def _delete_oldest(self) -> None:
        kept = 0
        for number, (path, state) in enumerate(reversed(self._files())):
            kept += state.st_size
            # The latest stays, however large it is.
            if number and (kept > _MAX_BYTES or number >= _MAX_FILES):
                path.unlink(missing_ok=True)


def stamp_of(nanoseconds: int) -> bytes:
    """Return a time since 1970 as a line of a log has it: 30 characters of UTC, which sort like times."""
    seconds, rest = divmod(nanoseconds, 10**9)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest:09}Z".encode()
