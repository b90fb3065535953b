"""The hook that was there before Penstock's. It runs first, and comes back when Penstock's is removed."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

TYPES = ("post-commit", "post-merge", "post-rewrite", "post-receive")
"""The hooks that Penstock installs."""
FOLDER = "before-penstock"
"""The folder beside the hooks in which previous ones keep their own names. Some programs see their task in the name."""
FORMER_SUFFIX = ".before-penstock"
"""The end of their names in earlier versions."""
_UP = "../"


@dataclass(frozen=True)
class PreviousHook:
    """The previous hook of the hook at `path`. Earlier versions kept it beside `path`, with a suffix."""

    path: Path

    @property
    def place(self) -> Path:
        """The path where it is kept, whether there is one or not."""
        return next((place for place in (self._kept, self._former) if os.path.lexists(place)), self._kept)

    @property
    def exists(self) -> bool:
        """True if there is one. A link that leads nowhere counts."""
        return os.path.lexists(self.place)

    def keep(self) -> None:
        """Move the hook at `path` away, unless there is none."""
        if os.path.lexists(self.path):
            _move(self.path, self._kept, down=True)
            self._link_neighbours()

    def adopt(self) -> None:
        """Move one that an earlier version kept. Penstock's hook finds it in either place."""
        if os.path.lexists(self._former):
            _move(self._former, self._kept, down=True)
            self._link_neighbours()

    def restore(self) -> None:
        """Move it back to `path`, or remove the hook at `path` if there was none before."""
        if not self.exists:
            self.path.unlink()
        elif self.place == self._former:
            self._former.replace(self.path)
        else:
            _move(self._kept, self.path, down=False)
            self._unlink_neighbours()

    @property
    def _kept(self) -> Path:
        return self.path.parent / FOLDER / self.path.name

    @property
    def _former(self) -> Path:
        return self.path.with_name(self.path.name + FORMER_SUFFIX)

    def _link_neighbours(self) -> None:
        """Link the other files of the folder, since a hook may look for them beside itself."""
        folder = self._kept.parent
        for file in self.path.parent.iterdir():
            link = folder / file.name
            is_other = file.name in TYPES or file.name.endswith((FORMER_SUFFIX, ".sample"))
            if not (is_other or file == folder or file.name.startswith(".") or os.path.lexists(link)):
                link.symlink_to(f"{_UP}{file.name}")

    def _unlink_neighbours(self) -> None:
        """Remove the links and the folder, unless it keeps another hook."""
        folder = self._kept.parent
        links = [file for file in folder.iterdir() if _text(file) == f"{_UP}{file.name}"]
        if len(links) == len(list(folder.iterdir())):
            for link in links:
                link.unlink()
            with suppress(OSError):
                folder.rmdir()


def _move(source: Path, target: Path, *, down: bool) -> None:
    """Move a file. The text of a relative link is changed, so that it leads to the same file as before.

    A link to a neighbour stays as it is: its neighbours are in both folders.
    """
    target.parent.mkdir(exist_ok=True)
    text = _text(source)
    if text is None or text.startswith("/") or "/" not in text:
        source.replace(target)
        return
    target.unlink(missing_ok=True)
    target.symlink_to(f"{_UP}{text}" if down else text.removeprefix(_UP))
    source.unlink()


def _text(path: Path) -> str | None:
    """Return the text of a symbolic link, or None."""
    return str(path.readlink()) if path.is_symlink() else None
