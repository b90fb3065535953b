"""The rotation of the access log: its end is copied to a second file, and it is truncated.

HAProxy keeps its own position in the log, because it drops O_APPEND. So its next line lands where it would have without
the truncation, and the file begins with a hole: a range that takes no space and reads as NULs. The size of the file
grows with each line, and says nothing about the space that it takes. Lines keep their offsets in the second file, which
begins with a hole too. So a reader finds where it was, also among equal lines.
"""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path
from typing import BinaryIO

_BLOCK = 2**16


def rotated_path(log: Path) -> Path:
    """Return the path of the second file."""
    return log.with_name(f"{log.name}.1")


def data_start(file: BinaryIO) -> int:
    """Return the offset of the first byte after a hole at the start of the file. Its end, if it has no data.

    Moves the position of the file.
    """
    try:
        start = os.lseek(file.fileno(), 0, os.SEEK_DATA)
    except OSError as error:
        # ENXIO: the file is empty, or one hole. A file system without holes reports the first byte as data.
        if error.errno != errno.ENXIO:
            raise
        return file.seek(0, os.SEEK_END)
    file.seek(start)
    # A hole ends at a block of the file system, and the text may begin within that block.
    while block := file.read(_BLOCK):
        if text := block.lstrip(b"\0"):
            return start + len(block) - len(text)
        start += len(block)
    return start


def rotate(log: Path, max_bytes: int, kept_bytes: int) -> None:
    """Move the end of a log that takes more than `max_bytes` to the second file, in whole lines.

    At most `kept_bytes` are moved, besides lines that are written meanwhile. Does nothing without a log. The second
    file is replaced at once, so a reader that has it open keeps its content.
    """
    try:
        with log.open("rb") as full:
            start = data_start(full)
            status = os.fstat(full.fileno())
            if min(status.st_blocks * 512, status.st_size - start) <= max_bytes:
                return
            full.seek(max(start, status.st_size - kept_bytes))
            if full.tell() > start:
                # To the next line, or to this one if it begins here.
                full.seek(-1, os.SEEK_CUR)
                full.readline()
            _move_rest(full, log)
    except FileNotFoundError:
        return


def _move_rest(full: BinaryIO, log: Path) -> None:
    """Copy the rest of the log to the second file, and truncate the log. Without space for the copy, the log stays."""
    # The draft's name is that of `write_atomically`, so leftovers of a crash are removed.
    draft = log.with_name(f".{rotated_path(log).name}.{os.getpid()}")
    try:
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as kept:
            kept.seek(full.tell())
            shutil.copyfileobj(full, kept)
            kept.flush()
            draft.replace(rotated_path(log))
            # Lines that were written meanwhile. Later ones are lost, so nothing else may come before the truncation.
            shutil.copyfileobj(full, kept)
            kept.flush()
            os.truncate(log, 0)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        # The disk is full. The older lines make room for the next call.
        rotated_path(log).unlink(missing_ok=True)
    finally:
        draft.unlink(missing_ok=True)
