"""One inotify instance and one thread for all watches of a process. The only module that imports inotify_simple."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, ClassVar, NamedTuple

if TYPE_CHECKING:
    from inotify_simple import INotify

# Opening, reading and closing by readers makes no event: another program may list 50,000 refs at any time.
_CREATE, _DELETE, _MOVED_FROM, _MOVED_TO, _CLOSE_WRITE = 0x100, 0x200, 0x40, 0x80, 0x8
_DELETE_SELF, _MOVE_SELF, _MODIFY, _ONLY_DIRECTORIES = 0x400, 0x800, 0x2, 0x01000000
_OVERFLOW, _IGNORED, _IS_DIRECTORY = 0x4000, 0x8000, 0x40000000
_SELF = _DELETE_SELF | _MOVE_SELF
_FOLDER = _CREATE | _DELETE | _MOVED_FROM | _MOVED_TO | _CLOSE_WRITE | _SELF | _ONLY_DIRECTORIES
_FILE = _MODIFY | _SELF


class Subscription:
    """What one caller watches. `on_path` gets each path that changed, and `on_lost` says that some were missed.

    Both are called in the thread of the observer, so they must return soon. They may be called once more while
    `Observer.unsubscribe` runs, and not afterwards.
    """

    def __init__(self, on_path: Callable[[str], None], on_lost: Callable[[], None]) -> None:
        self.on_path = on_path
        self.on_lost = on_lost


class _Place(NamedTuple):
    """The path under which a subscription watches a folder or a file, and whether folders in it are watched too."""

    path: str
    recursive: bool


class Observer:
    """Reports changes of folders and files to subscriptions. Safe to use from any thread."""

    _shared: ClassVar[Observer | None] = None
    _sharing: ClassVar[threading.Lock] = threading.Lock()

    def __init__(self) -> None:
        from inotify_simple import INotify

        self._inotify: INotify = INotify()
        self._lock = threading.RLock()
        self._places: dict[int, dict[Subscription, _Place]] = {}
        threading.Thread(target=self._run, name="watch", daemon=True).start()

    @classmethod
    def shared(cls) -> Observer:
        """Return the observer of this process. It ends with the process. Raises `OSError` at the kernel's limit."""
        with cls._sharing:
            if cls._shared is None:
                cls._shared = cls()
            return cls._shared

    def add_folder(self, subscription: Subscription, folder: str, *, recursive: bool) -> None:
        """Watch a folder, and those in it if `recursive`. Raises `OSError` if one cannot be watched."""
        with self._lock:
            self._add(subscription, _Place(folder, recursive), _FOLDER)
            if recursive:
                self._add_folders_in(subscription, folder)

    def add_file(self, subscription: Subscription, path: str) -> None:
        """Watch the content of one file. Raises `OSError` if it does not exist or cannot be watched."""
        with self._lock:
            self._add(subscription, _Place(path, recursive=False), _FILE)

    def folders(self, subscription: Subscription) -> list[str]:
        """Return every folder and file that is watched for a subscription."""
        with self._lock:
            return [places[subscription].path for places in self._places.values() if subscription in places]

    def unsubscribe(self, subscription: Subscription) -> None:
        """End a subscription. Safe to repeat."""
        with self._lock:
            for watch in [watch for watch, places in self._places.items() if subscription in places]:
                del self._places[watch][subscription]
                if not self._places[watch]:
                    del self._places[watch]
                    # The kernel has removed it already if the folder is gone.
                    with suppress(OSError):
                        self._inotify.rm_watch(watch)

    def _add(self, subscription: Subscription, place: _Place, mask: int) -> None:
        watch = self._inotify.add_watch(os.fsencode(place.path), mask)
        self._places.setdefault(watch, {})[subscription] = place

    def _add_folders_in(self, subscription: Subscription, folder: str) -> None:
        for parent, names, _ in os.walk(folder):
            for name in names:
                path = f"{parent}/{name}"
                # It may be gone already, or be a link.
                with suppress(FileNotFoundError, NotADirectoryError):
                    if not os.path.islink(path):  # noqa: PTH114  # thousands of folders
                        self._add(subscription, _Place(path, recursive=True), _FOLDER)

    def _run(self) -> None:
        while True:
            for watch, mask, _, name in self._inotify.read():
                with self._lock:
                    self._handle(watch, mask, name)

    def _handle(self, watch: int, mask: int, name: str) -> None:
        if mask & _OVERFLOW:
            self._recover()
            return
        places = self._places.get(watch, {})
        if mask & _IGNORED:
            self._places.pop(watch, None)
            return
        for subscription, place in list(places.items()):
            path = f"{place.path}/{name}" if name else place.path
            if place.recursive and mask & _IS_DIRECTORY and mask & (_CREATE | _MOVED_TO):
                try:
                    self._add(subscription, _Place(path, recursive=True), _FOLDER)
                    self._add_folders_in(subscription, path)
                except FileNotFoundError:
                    pass
                except OSError:
                    # The kernel's limit is reached, so changes in this folder would be missed.
                    subscription.on_lost()
            subscription.on_path(path)

    def _recover(self) -> None:
        """Watch the folders that the lost events have made, and report that changes may have been missed."""
        for watch, places in list(self._places.items()):
            for subscription, place in list(places.items()):
                if place.recursive and watch in self._places:
                    with suppress(OSError):
                        self._add_folders_in(subscription, place.path)
        for subscription in {each for places in self._places.values() for each in places}:
            subscription.on_lost()
