"""Space on the disk that is kept for one file, so that it can be replaced while the disk is full."""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from pathlib import Path

from pipeline.base.files import write_atomically

_FULL = (errno.ENOSPC, errno.EDQUOT)
_MIN_BYTES = 64 * 1024


def write_with_reserve(path: Path, content: str) -> None:
    """Replace a file as `write_atomically` does. On a full disk, the space of the file's reserve is used.

    The reserve is made, or made again, whenever there is space. Raises `OSError` if it is used up too.
    """
    reserve = path.with_name(f"{path.name}.reserve")
    try:
        write_atomically(path, content)
    except OSError as error:
        if error.errno not in _FULL or not _overwrite(reserve, content.encode()):
            raise
        reserve.replace(path)
    else:
        _ensure(reserve, max(_MIN_BYTES, 2 * len(content.encode())))


def _overwrite(reserve: Path, content: bytes) -> bool:
    """Write into the reserve, which allocates nothing. Return False if it is missing or too small."""
    try:
        descriptor = os.open(reserve, os.O_WRONLY)
    except OSError:
        return False
    with os.fdopen(descriptor, "wb", buffering=0) as file:
        if os.fstat(descriptor).st_size < len(content):
            return False
        file.write(content)
        file.truncate()
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
