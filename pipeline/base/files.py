"""Writing files and folders durably: they survive a power cut once a function has returned."""

from __future__ import annotations

import errno
import os
from pathlib import Path

FileStamp = tuple[int, int, int]
"""A file's inode, time of its last change in nanoseconds, and size. A reader that has seen it need not read again."""


def file_stamp(path: Path) -> FileStamp | None:
    """Return the stamp of a file. None if it is missing, or in a folder that cannot be read: reading it says why."""
    try:
        found = os.stat(path)  # noqa: PTH116  # called every second
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


def write_atomically(path: Path, content: str | bytes, mode: int = 0o600) -> None:
    """Replace the file at `path` with `content`. It is on disk before this returns.

    A crash or a power cut leaves the old file or the new one, never a part. It may leave a draft: see `remove_drafts`.
    """
    data = content if isinstance(content, bytes) else content.encode()
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fchmod(file.fileno(), mode)
            os.fsync(file.fileno())
        draft.replace(path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
    sync_names(path.parent)


def remove_drafts(path: Path) -> None:
    """Remove what killed calls of `write_atomically` have left of a file. A lock must exclude its other writers."""
    for draft in path.parent.glob(f".{path.name}.*"):
        draft.unlink(missing_ok=True)


def append(path: Path, content: bytes, size: int) -> None:
    """Add `content` to a file after its first `size` bytes. It is on disk before this returns.

    Removes what follows these bytes, which an interrupted call may have left. If it fails, only these bytes are left.
    Raises `OSError`, also for a file that is missing or shorter.
    """
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_APPEND), "ab", buffering=0) as file:
        if (found := file.seek(0, os.SEEK_END)) < size:
            raise OSError(errno.ESTALE, "the file is shorter than expected")
        try:
            if found > size:
                file.truncate(size)
            rest = memoryview(content)
            while rest:
                rest = rest[file.write(rest) :]
            os.fsync(file.fileno())
        except OSError:
            file.truncate(size)
            raise


def make_folder(path: Path) -> None:
    """Create a private folder and its missing parents. Their names are on disk when this returns. Safe to repeat."""
    missing = [folder for folder in (path, *path.parents) if not folder.exists()]
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    for folder in missing:
        sync_names(folder.parent)


def sync_names(folder: Path) -> None:
    """Write the names in a folder to disk. The sync of a file does not include its name."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        # Some network file systems cannot sync a folder.
        if error.errno != errno.EINVAL:
            raise
    finally:
        os.close(descriptor)
