"""The files that tests wrote, among those that were in their image already."""

from __future__ import annotations

import posixpath
import tarfile

from pipeline.engine.container import Container


class WrittenFiles:
    """A predicate for members of the tar of `path`: whether the container wrote them.

    `changed` are the changed paths that the engine reports. It reports none in volumes, and for folders that are links
    it reports the real paths. Such files count if they are not older than the container's process.
    """

    def __init__(self, changed: frozenset[str], container: Container, path: str) -> None:
        self._changed = changed
        self._folder = posixpath.dirname(path)
        self._mounts = [f"{mount.rstrip('/')}/" for mount in container.mounts]
        started = container.process_started_at
        self._started = int(started.timestamp()) if started else 0

    def __call__(self, member: tarfile.TarInfo) -> bool:
        """Return whether the container wrote this member of the tar."""
        path = posixpath.join(self._folder, member.name)
        if path in self._changed:
            return True
        below = f"/{member.name}"
        elsewhere = any(path.startswith(mount) for mount in self._mounts) or any(
            changed.endswith(below) for changed in self._changed
        )
        return elsewhere and member.mtime >= self._started
