"""Reserved disk space for one file, so that it can be replaced while the disk is full."""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from pathlib import Path

from pipeline.base.files import sync_names, write_atomically

_FULL = (errno.ENOSPC, errno.EDQUOT)
_MIN_BYTES = 64 * 1024
# A reserve has this many times the size of the content, so that it holds later content too.
_FACTOR = 4


def write_with_reserve(path: Path, content: str) -> None:
    """Replace a file of text as `write_atomically` does. On a full disk, the space of the file's reserve is used.

    The content is then padded with spaces, and the space of the previous content becomes the next reserve, so no space
    is freed for other files. A missing reserve is created whenever there is space. Raises `OSError` if the reserve is
    too small.
    """
    reserves = _reserves(path)
    try:
        write_atomically(path, content)
    except OSError as error:
        reserve = next((found for found in reserves if _overwrite(found, content.encode())), None)
        if error.errno not in _FULL or reserve is None:
            raise
        _swap(path, reserve)
        sync_names(path.parent)
    else:
        for reserve in reserves:
            _ensure(reserve, max(_MIN_BYTES, _FACTOR * len(content.encode())))


def has_reserve(path: Path, size: int) -> bool:
    """Return whether the reserves of a file hold `size` bytes of content."""
    try:
        return all(reserve.stat().st_size >= size for reserve in _reserves(path))
    except OSError:
        return False


def _reserves(path: Path) -> list[Path]:
    """Return two: at the first use, the previous content is too small to become the next reserve."""
    return [path.with_name(f"{path.name}.reserve{number}") for number in (1, 2)]


def _swap(path: Path, reserve: Path) -> None:
    """Put a reserve in the place of the file, and keep the former file as the reserve if it is large enough."""
    former = path.with_name(f".{path.name}.{os.getpid()}")
    with suppress(OSError):
        former.unlink(missing_ok=True)
        former.hardlink_to(path)
    reserve.replace(path)
    if former.exists() and former.stat().st_size >= _MIN_BYTES:
        former.replace(reserve)
    else:
        former.unlink(missing_ok=True)


def _overwrite(reserve: Path, content: bytes) -> bool:
    """Write into the reserve, which allocates nothing. Return False if it is missing or too small."""
    try:
        descriptor = os.open(reserve, os.O_WRONLY)
    except OSError:
        return False
    with os.fdopen(descriptor, "wb", buffering=0) as file:
        size = os.fstat(descriptor).st_size
        if size < len(content):
            return False
        file.write(content.ljust(size))
        os.fsync(descriptor)
    return True


def _ensure(reserve: Path, size: int) -> None:
    with suppress(OSError):
        if reserve.exists() and reserve.stat().st_size >= size:
            return
        draft = reserve.with_name(f".{reserve.name}.{os.getpid()}")
        try:
            descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            try:
                os.posix_fallocate(descriptor, 0, size)
            finally:
                os.close(descriptor)
            draft.replace(reserve)
        except OSError:
            draft.unlink(missing_ok=True)
