"""The spool: a folder into which git hooks write files that name repositories."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from pathlib import Path

from pipeline.base.watch import Watch, watch

# A path is not longer.
_MAX_BYTES = 4096


class Spool:
    """The spool folder. A file whose name starts with a dot is still being written."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def files(self) -> dict[Path, Path]:
        """Return the waiting files with their repositories. Makes the folder if it was removed."""
        try:
            names = os.listdir(self._folder)  # noqa: PTH208  # called every second
        except FileNotFoundError:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            return {}
        found = {}
        for name in names:
            if not name.startswith("."):
                with suppress(OSError, ValueError):
                    found[self._folder / name] = Path(os.fsdecode(_first_bytes(self._folder / name)).rstrip("\n"))
        return found

    def remove(self, file: Path) -> None:
        """Remove a file whose pipelines were notified.

        If the daemon dies before their scan, no commit is lost: its first scan after the restart finds it.
        """
        file.unlink(missing_ok=True)

    def watch(self, arrived: Callable[[], None]) -> AbstractContextManager[Watch]:
        """Call `arrived` in the `with` block when a file arrives. Raises the same errors as `watch`."""
        return watch({self._folder: False}, lambda path: not path.rpartition("/")[2].startswith("."), arrived)


def _first_bytes(file: Path) -> bytes:
    """Return the beginning of a regular file. Raises `OSError` for any other, such as a FIFO, which would block."""
    descriptor = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(f"{file} is not a regular file")
        return os.read(descriptor, _MAX_BYTES)
    finally:
        os.close(descriptor)
