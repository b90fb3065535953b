"""Watching folders through inotify. The only module that imports watchdog."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.base.errors import SystemFault

if TYPE_CHECKING:
    from watchdog.events import FileSystemEventHandler

_LIMIT_REACHED = (errno.ENOSPC, errno.EMFILE)


@contextmanager
def watch(folders: Mapping[Path, bool], relevant: Callable[[str], bool], changed: Callable[[], None]) -> Iterator[None]:
    """Call `changed` in the `with` block when a file whose path is `relevant` appears, changes or disappears.

    `folders` maps each folder to whether it is watched recursively. Earlier changes are not reported. Raises
    `SystemFault` if the kernel's limit of inotify watches is reached.
    """
    from watchdog.observers import Observer

    observer = Observer()
    try:
        for folder, recursive in folders.items():
            observer.schedule(_handler(relevant, changed), str(folder), recursive=recursive)
        observer.start()
        # watchdog does not report a subfolder that it could not watch. If one more watch fits, all of them did.
        observer.unschedule(observer.schedule(_handler(relevant, changed), "/"))
    except OSError as error:
        observer.unschedule_all()
        if observer.is_alive():
            observer.stop()
        if error.errno not in _LIMIT_REACHED:
            raise
        raise SystemFault(
            "the kernel's limit of inotify watches is reached",
            hint="raise fs.inotify.max_user_watches and fs.inotify.max_user_instances with sysctl",
        ) from error
    try:
        yield
    finally:
        observer.stop()
        observer.join()


def _handler(relevant: Callable[[str], bool], changed: Callable[[], None]) -> FileSystemEventHandler:
    from watchdog.events import (
        DirModifiedEvent,
        FileClosedNoWriteEvent,
        FileOpenedEvent,
        FileSystemEvent,
        FileSystemEventHandler,
    )

    noise = (FileOpenedEvent, FileClosedNoWriteEvent, DirModifiedEvent)

    class Handler(FileSystemEventHandler):
        def on_any_event(self, event: FileSystemEvent) -> None:
            paths = (str(event.src_path), str(event.dest_path))
            if not isinstance(event, noise) and any(path and relevant(path) for path in paths):
                changed()

    return Handler()
