"""Names that an image has only for a push. A killed run leaves them, and the next command takes them back."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline.base.files import make_folder
from pipeline.engine.interfaces import Images

_FILE = "names.json"


class LentNames:
    """The names that runs of one pipeline give to images. `folder` has a file for each run that has given one.

    An image with a name of another program is never removed, so no name may be left.
    """

    def __init__(self, images: Images, folder: Path) -> None:
        self._images = images
        self._folder = folder

    @contextmanager
    def lent(self, run: int, image: str, name: str) -> Iterator[None]:
        """Give an image a name. Another image that had it gets it back."""
        before = self._images.id(name)
        folder = self._folder / f"{run}.push"
        make_folder(folder)
        # Written first, so that no name is given that is not known.
        (folder / _FILE).write_text(json.dumps({name: before}))
        self._images.tag(image, name)
        try:
            yield
        finally:
            if before != image:
                self._restore(name, before)
            shutil.rmtree(folder, ignore_errors=True)

    def restore(self, running: Callable[[], Collection[int]]) -> None:
        """Take the names back that killed runs have left. `running` returns the runs that still push."""
        found = list(self._folder.glob("*.push"))
        # Called after the list was read, so a run that starts later has nothing in it.
        spared = {f"{run}.push" for run in running()} if found else set()
        for folder in found:
            if folder.name not in spared:
                for name, before in _names(folder / _FILE).items():
                    self._restore(name, before)
                shutil.rmtree(folder, ignore_errors=True)

    def _restore(self, name: str, before: str | None) -> None:
        if before is not None and self._images.id(before) is not None:
            self._images.tag(before, name)
        else:
            self._images.untag(name)


def _names(file: Path) -> dict[str, str | None]:
    """Return the names in a file. Empty if the run was killed before it had given one."""
    try:
        found: dict[str, str | None] = json.loads(file.read_text())
    except (OSError, ValueError):
        return {}
    return found
