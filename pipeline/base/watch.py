"""Watching folders and files. All watches of a process share one thread."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from pipeline.base.errors import SystemFault
from pipeline.base.inotify import Subscription

_LIMIT_REACHED = (errno.ENOSPC, errno.EMFILE)


class Watch:
    """Folders that are watched. The kernel watches the folders themselves, whatever is at their paths later."""

    def __init__(self, folders: Iterable[Path] = ()) -> None:
        self._identities = {folder: _identity(folder) for folder in folders}
        self._paths = frozenset(map(str, self._identities))
        # The number of a removed folder may be that of the next one at its path.
        self._is_removed = False
        self.list_folders: Callable[[], Iterable[str]] = lambda: self._paths
        """Returns every folder that is watched, those in recursive ones included."""

    def is_intact(self) -> bool:
        """Return False once a folder was removed, moved or replaced. Its watch then reports nothing more."""
        return not self._is_removed and all(_identity(folder) == known for folder, known in self._identities.items())

    def stamp(self) -> tuple[int, ...]:
        """Return the times of the last change in every folder. Entries that were added, replaced or removed change it.

        So it shows also changes that the kernel did not report. It costs a system call for each folder.
        """
        return tuple(_changed_at(folder) for folder in sorted(self.list_folders()))

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


def _changed_at(folder: str) -> int:
    try:
        return os.stat(folder).st_mtime_ns  # noqa: PTH116  # hundreds of folders
    except OSError:
        return 0


@contextmanager
def watch(
    folders: Mapping[Path, bool], relevant: Callable[[str], bool], changed: Callable[[], None]
) -> Iterator[Watch]:
    """Call `changed` in the `with` block when a file whose path is `relevant` appears, is written or disappears.

    `folders` maps each folder to whether it is watched recursively. Earlier changes are not reported, and neither is
    reading. `changed` is also called when a folder itself is removed or moved, and when the kernel has dropped events.
    It must return soon, because all watches of the process wait for it. Raises `SystemFault` if the kernel does not
    allow it, as when its limit of inotify instances or watches is reached.
    """
    # Made before the folders are watched, so that one that is replaced in between is noticed.
    watched = Watch(folders)

    def on_path(path: str) -> None:
        if watched.is_folder(path):
            watched.removed()
        elif not relevant(path):
            return
        changed()

    with _subscribed(on_path, changed, folders) as subscription:
        watched.list_folders = subscription.paths
        yield watched


@contextmanager
def watch_file(path: Path, changed: Callable[[], None]) -> Iterator[None]:
    """Call `changed` in the `with` block when a file is written, removed or moved. Otherwise as `watch`."""
    with _subscribed(lambda _: changed(), changed, {}, path):
        yield


@contextmanager
def _subscribed(
    on_path: Callable[[str], None],
    on_lost: Callable[[], None],
    folders: Mapping[Path, bool],
    file: Path | None = None,
) -> Iterator[Subscription]:
    with ExitStack() as stack:
        try:
            subscription = Subscription(on_path, on_lost)
            stack.callback(subscription.close)
            for folder, recursive in folders.items():
                subscription.add_folder(str(folder), recursive=recursive)
            if file is not None:
                subscription.add_file(str(file))
        except OSError as error:
            if error.errno in _LIMIT_REACHED:
                raise SystemFault(
                    "the kernel's limit of inotify instances or watches is reached",
                    hint="raise fs.inotify.max_user_watches and fs.inotify.max_user_instances with sysctl",
                ) from error
            places = ", ".join(map(str, [*folders, *filter(None, [file])]))
            raise SystemFault(f"{places}: {error.strerror or error}") from error
        yield subscription
