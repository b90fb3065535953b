"""What hooks left word of: a folder with a file for each, that names a repository."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from pathlib import Path

from pipeline.base.watch import watch


class Spool:
    """The folder. A file whose name begins with a dot is still being written."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def files(self) -> dict[Path, Path]:
        """Each file that waits, with the repository that it names."""
        found = {}
        for file in self._folder.iterdir():
            if not file.name.startswith("."):
                with suppress(OSError):
                    found[file] = Path(file.read_text(errors="surrogateescape").rstrip("\n"))
        return found

    def remove(self, file: Path) -> None:
        """What it led to has been done."""
        file.unlink(missing_ok=True)

    def watch(self, came: Callable[[], None]) -> AbstractContextManager[None]:
        """Call `came` when a file has come, as long as this is entered. Raises as `watch` does."""
        return watch({self._folder: False}, lambda path: not path.rpartition("/")[2].startswith("."), came)
