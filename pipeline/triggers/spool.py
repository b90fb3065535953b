"""The spool: a folder into which git hooks write files that name repositories."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from pathlib import Path

from pipeline.base.watch import Watch, watch


class Spool:
    """The spool folder. A file whose name starts with a dot is still being written."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def files(self) -> dict[Path, Path]:
        """Return the waiting files with their repositories."""
        found = {}
        for file in self._folder.iterdir():
            if not file.name.startswith("."):
                with suppress(OSError):
                    found[file] = Path(file.read_text(errors="surrogateescape").rstrip("\n"))
        return found

    def remove(self, file: Path) -> None:
        """Remove a file after its repository has been scanned."""
        file.unlink(missing_ok=True)

    def watch(self, arrived: Callable[[], None]) -> AbstractContextManager[Watch]:
        """Call `arrived` in the `with` block when a file arrives. Raises the same errors as `watch`."""
        return watch({self._folder: False}, lambda path: not path.rpartition("/")[2].startswith("."), arrived)
