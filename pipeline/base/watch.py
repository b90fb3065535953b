"""Watching folders through inotify. The only module that imports watchdog."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.base.errors import SystemFault

if TYPE_CHECKING:
    from watchdog.events import FileSystemEventHandler
    from watchdog.observers.api import BaseObserver

_LIMIT_REACHED = (errno.ENOSPC, errno.EMFILE)


class Watch:
    """Folders that are watched. The kernel watches the folders themselves, whatever is at their paths later."""

    def __init__(self, folders: Iterable[Path] = ()) -> None:
        self._identities = {folder: _identity(folder) for folder in folders}
        # The number of a removed folder may be that of the next one at its path.
        self._is_removed = False

    def is_intact(self) -> bool:
        """Return False once a folder was removed, moved or replaced. Its watch then reports nothing more."""
        return not self._is_removed and all(_identity(folder) == known for folder, known in self._identities.items())

    def removed(self, path: str) -> None:
        """Record that a path was removed. Called from the thread of the observer."""
        self._is_removed |= Path(path) in self._identities


def _identity(folder: Path) -> tuple[int, int] | None:
    try:
        status = folder.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


@contextmanager
def watch(
    folders: Mapping[Path, bool], relevant: Callable[[str], bool], changed: Callable[[], None]
) -> Iterator[Watch]:
    """Call `changed` in the `with` block when a file whose path is `relevant` appears, changes or disappears.

    `folders` maps each folder to whether it is watched recursively. Earlier changes are not reported. `changed` is also
    called when a folder itself is removed. Raises `SystemFault` if the kernel does not allow it, as when its limit of
    inotify instances or watches is reached.
    """
    # Made before the folders are watched, so that one that is replaced in between is noticed.
    watched = Watch(folders)
    try:
        observer = _started(folders, _handler(relevant, changed, watched))
    except OSError as error:
        if error.errno in _LIMIT_REACHED:
            raise SystemFault(
                "the kernel's limit of inotify instances or watches is reached",
                hint="raise fs.inotify.max_user_watches and fs.inotify.max_user_instances with sysctl",
            ) from error
        raise SystemFault(f"{', '.join(map(str, folders))}: {error.strerror or error}") from error
    try:
        yield watched
    finally:
        observer.stop()
        observer.join()


def _started(folders: Mapping[Path, bool], handler: FileSystemEventHandler) -> BaseObserver:
    from watchdog.observers import Observer

    observer = Observer()
    try:
        for folder, recursive in folders.items():
            observer.schedule(handler, str(folder), recursive=recursive)
        observer.start()
        # watchdog does not report a subfolder that it could not watch. If one more watch fits, all of them did.
        observer.unschedule(observer.schedule(handler, "/"))
    except OSError:
        observer.unschedule_all()
        if observer.is_alive():
            observer.stop()
        raise
    return observer


def _handler(relevant: Callable[[str], bool], changed: Callable[[], None], watched: Watch) -> FileSystemEventHandler:
    from watchdog.events import (
        DirDeletedEvent,
        DirModifiedEvent,
        FileClosedNoWriteEvent,
        FileDeletedEvent,
        FileOpenedEvent,
        FileSystemEvent,
        FileSystemEventHandler,
    )

    noise = (FileOpenedEvent, FileClosedNoWriteEvent, DirModifiedEvent)

    class Handler(FileSystemEventHandler):
        def on_any_event(self, event: FileSystemEvent) -> None:
            paths = (str(event.src_path), str(event.dest_path))
            if isinstance(event, (DirDeletedEvent, FileDeletedEvent)):
                watched.removed(paths[0])
                if not watched.is_intact():
                    changed()
                    return
            if not isinstance(event, noise) and any(path and relevant(path) for path in paths):
                changed()

    return Handler()
