"""Watching folders and files. All watches of a process share one thread."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from types import MappingProxyType

from pipeline.base.errors import SystemFault
from pipeline.base.inotify import Subscription

_LIMIT_REACHED = (errno.ENOSPC, errno.EMFILE)


class Watch:
    """Folders that are watched. The kernel watches the folders themselves, whatever is at their paths later."""

    def __init__(self, folders: Iterable[Path], relevant: Callable[[str], bool]) -> None:
        self._identities = {folder: _identity(folder) for folder in folders}
        self._relevant = relevant
        self._paths = frozenset(map(str, self._identities))
        # The number of a removed folder may be that of the next one at its path.
        self._is_removed = False
        self.list_folders: Callable[[], Iterable[str]] = lambda: self._paths
        """Returns every folder that is watched, those in recursive ones included."""

    @property
    def parents(self) -> set[Path]:
        """The folders above, up to the root. Those that are watched themselves are not among them."""
        folders = self._identities.keys()
        return {parent for folder in folders for parent in folder.resolve().parents} - folders

    def is_intact(self) -> bool:
        """Return False once a folder was removed, moved or replaced. Its watch then reports nothing more."""
        return not self._is_removed and all(_identity(folder) == known for folder, known in self._identities.items())

    def stamp(self) -> int:
        """Return a number that changes with any relevant file, also if the kernel did not report it.

        It costs a system call for each file.
        """
        number = 0
        for folder in self.list_folders():
            with suppress(OSError), os.scandir(folder) as entries:
                for entry in entries:
                    if self._relevant(entry.path):
                        found = entry.stat(follow_symlinks=False)
                        # Independent of the order, and without a list: there may be 50,000.
                        number ^= hash((entry.path, found.st_ino, found.st_ctime_ns))
        return number

    def is_folder(self, path: str) -> bool:
        """Return whether a path is one of the folders themselves."""
        return path in self._paths

    def removed(self) -> None:
        """Record that a folder was removed or moved. Safe from any thread."""
        self._is_removed = True


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
    """Call `changed` in the `with` block when a file whose path is `relevant` appears, is written or disappears.

    `folders` maps each folder to whether it is watched recursively. Earlier changes are not reported, and neither is
    reading. `changed` is also called when a folder itself, or one above it, is removed or moved, and when the kernel
    has dropped events. It must return soon, because all watches of the process wait for it. Raises `SystemFault` if the
    kernel does not allow it, as when its limit of inotify instances or watches is reached.
    """
    # Made before the folders are watched, so that one that is replaced in between is noticed.
    watched = Watch(folders, relevant)
    parents = frozenset(map(str, watched.parents))

    def on_path(path: str) -> None:
        if watched.is_folder(path) or path in parents:
            watched.removed()
        elif not relevant(path):
            return
        changed()

    with _subscribed(on_path, changed, folders) as subscription, _subscribed(on_path, changed, parents=parents):
        watched.list_folders = subscription.paths
        yield watched


@contextmanager
def watch_file(path: Path, changed: Callable[[], None]) -> Iterator[None]:
    """Call `changed` in the `with` block when a file is written, removed or moved. Otherwise as `watch`."""
    with _subscribed(lambda _: changed(), changed, file=path):
        yield


@contextmanager
def _subscribed(
    on_path: Callable[[str], None],
    on_lost: Callable[[], None],
    folders: Mapping[Path, bool] = MappingProxyType({}),
    *,
    file: Path | None = None,
    parents: Iterable[str] = (),
) -> Iterator[Subscription]:
    with ExitStack() as stack:
        try:
            subscription = Subscription(on_path, on_lost)
            stack.callback(subscription.close)
            for folder, recursive in folders.items():
                subscription.add_folder(str(folder), recursive=recursive)
            if file is not None:
                subscription.add_file(str(file))
            for parent in parents:
                subscription.add_parent(parent)
        except OSError as error:
            if error.errno in _LIMIT_REACHED:
                raise SystemFault(
                    "the kernel's limit of inotify instances or watches is reached",
                    hint="raise fs.inotify.max_user_watches and fs.inotify.max_user_instances with sysctl",
                ) from error
            places = ", ".join(map(str, [*folders, *filter(None, [file])]))
            raise SystemFault(f"{places}: {error.strerror or error}") from error
        yield subscription
