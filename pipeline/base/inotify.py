"""All watches of a process, in the one thread of watchdog's reader. The only module that imports watchdog.

watchdog's public observer has three threads for each folder. It also asks the kernel for opens, reads and closes, and
drops them afterwards, while the kernel's queue overflows.
"""

from __future__ import annotations

import errno
import logging
import os
import threading
from collections.abc import Callable
from contextlib import suppress
from itertools import count
from typing import TYPE_CHECKING, NamedTuple, cast

if TYPE_CHECKING:
    from watchdog.observers.inotify_c import CallbackId, InotifyEvent, Mask, WatchDescriptor

# From the kernel's inotify.h. Opening, reading and closing by readers makes no event: another program may list 50,000
# refs at any time.
_MODIFY, _CLOSE_WRITE, _MOVED_FROM, _MOVED_TO, _CREATE, _DELETE = 0x2, 0x8, 0x40, 0x80, 0x100, 0x200
_DELETE_SELF, _MOVE_SELF, _ONLY_DIRECTORIES = 0x400, 0x800, 0x01000000
_SELF = _DELETE_SELF | _MOVE_SELF
_FOLDER = _CREATE | _DELETE | _MOVED_FROM | _MOVED_TO | _CLOSE_WRITE | _SELF | _ONLY_DIRECTORIES
_FILE = _MODIFY | _SELF
# Added to the events of other subscriptions to the folder, which this would replace otherwise.
_PARENT = _SELF | _ONLY_DIRECTORIES | 0x20000000

_numbers = count()
_logger = logging.getLogger(__name__)


class _Place(NamedTuple):
    """A folder or a file that is watched for the events of `mask`, and whether folders in it are watched too."""

    path: str
    mask: int
    recursive: bool
    callback: CallbackId


class Subscription:
    """What one caller watches. `on_path` gets each path that changed, and `on_lost` says that some were missed.

    Both are called in the thread of the reader, so they must return soon. They may be called once more while `close`
    waits, and not afterwards. Safe to use from any thread. Raises `OSError` at the kernel's limit of instances.
    """

    def __init__(self, on_path: Callable[[str], None], on_lost: Callable[[], None]) -> None:
        from watchdog.observers.inotify_c import InotifyFD

        self._reader = InotifyFD.get_instance()
        self._on_path = on_path
        self._on_lost = on_lost
        self._lock = threading.RLock()
        self._places: dict[WatchDescriptor, _Place] = {}

    def add_folder(self, folder: str, *, recursive: bool) -> None:
        """Watch a folder, and those in it if `recursive`. Raises `OSError` if one cannot be watched."""
        with self._lock:
            self._add(folder, _FOLDER, recursive=recursive)
            if recursive:
                self._add_folders_in(folder)

    def add_file(self, path: str) -> None:
        """Watch the content of one file. Raises `OSError` if it does not exist or cannot be watched."""
        with self._lock:
            self._add(path, _FILE, recursive=False)

    def add_parent(self, folder: str) -> None:
        """Watch whether a folder itself is removed or moved. Does nothing if it may not be read, or is gone."""
        with self._lock, suppress(PermissionError, FileNotFoundError):
            self._add(folder, _PARENT, recursive=False)

    def paths(self) -> list[str]:
        """Return every folder and file that is watched."""
        with self._lock:
            return [place.path for place in self._places.values()]

    def close(self) -> None:
        """Watch nothing any more. Safe to repeat."""
        with self._lock:
            watched = [(watch, place.callback) for watch, place in self._places.items()]
            self._places.clear()
            self._reader.remove_callbacks(watched)

    def on_event(self, event: InotifyEvent) -> None:
        """Pass on an event. The reader calls this."""
        with self._lock:
            place = self._places.get(event.wd)
            # The reader passes on also what others want to know of the same folder.
            if place is None or not event.mask & place.mask:
                return
            path = f"{place.path}/{os.fsdecode(event.name)}" if event.name else place.path
            # An exception would end the thread, and with it all watches of the process.
            try:
                if place.recursive and event.is_directory and (event.is_create or event.is_moved_to):
                    self._add_new_folder(path)
                self._on_path(path)
            except Exception:
                _logger.exception("internal error in a watch of %s", path)

    def on_watch_deleted(self, wd: WatchDescriptor) -> None:
        """Forget a folder or file that was removed. The reader calls this."""
        with self._lock:
            self._places.pop(wd, None)

    def on_queue_overflow(self) -> None:
        """Watch the folders that the lost events have made, and say that some were missed. The reader calls this."""
        with self._lock:
            for place in list(self._places.values()):
                if place.recursive:
                    with suppress(OSError):
                        self._add_folders_in(place.path)
            if self._places:
                self._on_lost()

    def _add(self, path: str, mask: int, *, recursive: bool) -> None:
        # A number for each call, because watchdog warns of one that the watch has already.
        number = cast("CallbackId", next(_numbers))
        watch = self._reader.add_callback(os.fsencode(path), cast("Mask", mask), self, number)
        if watch < 0:
            # The only error that watchdog does not raise.
            self._reader.remove_callbacks([(watch, number)])
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)
        if previous := self._places.get(watch):
            self._reader.remove_callbacks([(watch, previous.callback)])
        self._places[watch] = _Place(path, mask, recursive, number)

    def _add_folders_in(self, folder: str) -> None:
        for parent, names, _ in os.walk(folder):
            for name in names:
                path = f"{parent}/{name}"
                # It may be gone already, or be a link.
                with suppress(FileNotFoundError, NotADirectoryError):
                    if not os.path.islink(path):  # noqa: PTH114  # thousands of folders
                        self._add(path, _FOLDER, recursive=True)

    def _add_new_folder(self, path: str) -> None:
        try:
            self._add(path, _FOLDER, recursive=True)
            self._add_folders_in(path)
        except (FileNotFoundError, NotADirectoryError):
            pass
        except OSError:
            # The kernel's limit is reached, so changes in this folder would be missed.
            self._on_lost()
