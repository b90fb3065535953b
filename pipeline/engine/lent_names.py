"""Names that an image has only for a push. A killed run leaves them, and the next command takes them back."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

from pipeline.base.errors import LockHeld
from pipeline.base.files import make_folder
from pipeline.base.home import Home
from pipeline.base.lock import cancellable_lock, work_lock
from pipeline.engine.interfaces import Images

# Names share locks, so that the locks of names with a commit in them do not fill the home.
_LOCKS = 64


class LentNames:
    """The names that runs of one pipeline give to images. At most one run of the home has lent a name at a time.

    An image with a name of another program is never removed, so no name may be left. The home has a file for each run
    that has given one.
    """

    def __init__(self, images: Images, home: Home, pipeline: str) -> None:
        self._images = images
        self._home = home
        self._pipeline = pipeline
        self._folder = home.pushes(pipeline)

    @contextmanager
    def lent(self, run: int, image: str, name: str, cancelled: threading.Event, timeout: timedelta) -> Iterator[None]:
        """Give an image a name. Another image that had it gets it back.

        Waits while another run has lent the name. Raises `LockHeld` after `timeout`, and `Cancelled`.
        """
        file, purpose = self._folder / f"{run}.json", f"push of {name} by {self._pipeline}"
        with cancellable_lock(self._lock(name), purpose, cancelled, timeout.total_seconds()):
            before = self._images.id(name)
            make_folder(self._folder)
            # Written first, so that no name is given that is not known.
            file.write_text(json.dumps({"name": name, "image": image, "before": before}))
            self._images.tag(image, name)
            try:
                yield
            finally:
                self._restore(name, image, before)
                file.unlink(missing_ok=True)

    def restore(self, running: Callable[[], Collection[int]]) -> None:
        """Take the names back that killed runs have left. `running` returns the runs that still push.

        A name that another run has lent meanwhile is left to a later call.
        """
        found = list(self._folder.glob("*.json"))
        # Called after the list was read, so a run that starts later has nothing in it.
        spared = {str(run) for run in running()} if found else set()
        for file in found:
            if file.stem not in spared:
                self._end(file)

    def _end(self, file: Path) -> None:
        if lent := _read(file):
            name = lent["name"]
            try:
                with work_lock(self._lock(name), f"end of a push of {name} by {self._pipeline}"):
                    self._restore(name, lent["image"], lent["before"])
            except LockHeld:
                return
        file.unlink(missing_ok=True)

    def _restore(self, name: str, image: str, before: str | None) -> None:
        # Another program may have given the name to its own image, which would be removed with its last name.
        if before == image or self._images.id(name) != image:
            return
        if before is not None and self._images.id(before) is not None:
            self._images.tag(before, name)
        else:
            self._images.untag(name)

    def _lock(self, name: str) -> Path:
        # No pipeline's name has a dot.
        return self._home.lock(f"push.{hashlib.sha256(name.encode()).digest()[0] % _LOCKS}")


def _read(file: Path) -> dict[str, Any] | None:
    """Return what a run has lent. None if it was killed before it had given a name."""
    try:
        found: dict[str, Any] = json.loads(file.read_text())
    except (OSError, ValueError):
        return None
    return found
