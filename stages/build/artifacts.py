"""Test artifacts, copied from the test container to this machine. Their content is not trusted."""

from __future__ import annotations

import os
import shutil
import tarfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from stages.build.chunk_stream import ChunkStream

# The limits of one run, so that artifacts do not fill the disk.
SIZE_LIMIT = 256 * 2**20
FILES_LIMIT = 10_000
_BUFFER = 64 * 1024


@dataclass
class CopyResult:
    """The part of one path that was kept. `size` is in bytes.

    `left_out` counts entries that are not regular files, and names that cannot be written or lead out of the folder.
    `cut` is True if the rest exceeds the limits.
    """

    files: int = 0
    size: int = 0
    left_out: int = 0
    cut: bool = False


class Artifacts:
    """The artifacts of one run, in `folder`: each path of the container under its own name.

    Only regular files are written, into folders that this class has created. So no link can lead out of `folder`.
    """

    def __init__(self, folder: Path, size_limit: int = SIZE_LIMIT, files_limit: int = FILES_LIMIT) -> None:
        self._folder = folder
        self._size_left = size_limit
        self._files_left = files_limit

    def keep(self, path: str, chunks: Iterator[bytes], attempt: int = 1) -> CopyResult:
        """Keep the files of `path` in the tar `chunks`, in which names begin with the last part of the path.

        The files of a second or later attempt go into a separate folder.
        """
        folder = self._folder if attempt == 1 else self._folder / f"try-{attempt}"
        target = folder.joinpath(*path.strip("/").split("/"))
        kept = CopyResult()
        # If the path does not exist in the container, there is no tar.
        with suppress(tarfile.ReadError), tarfile.open(fileobj=ChunkStream(chunks), mode="r|", bufsize=_BUFFER) as tar:
            for member in tar:
                if not member.isdir() and not self._keep(tar, member, target, kept):
                    break
        return kept

    def _keep(self, tar: tarfile.TarFile, member: tarfile.TarInfo, target: Path, kept: CopyResult) -> bool:
        """Keep one file or leave it out. Return False if it exceeds a limit."""
        parts = _below(member.name)
        if not member.isreg() or parts is None:
            kept.left_out += 1
            return True
        if member.size > self._size_left or not self._files_left:
            kept.cut = True
            return False
        self._files_left -= 1
        self._size_left -= member.size
        content = tar.extractfile(member)
        if content is not None and _write(target.joinpath(*parts), content):
            kept.files += 1
            kept.size += member.size
        else:
            kept.left_out += 1
        return True


def _below(name: str) -> list[str] | None:
    """Return the parts of a name after the first, or None if one of them leads elsewhere."""
    first, *parts = name.split("/")
    return None if not first or any(part in ("", ".", "..") or "\0" in part for part in (first, *parts)) else parts


def _write(path: Path, content: IO[bytes]) -> bool:
    """Write a new file. Return False if that fails or the file exists."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    except OSError:
        return False
    try:
        with os.fdopen(descriptor, "wb") as file:
            shutil.copyfileobj(content, file, _BUFFER)
    except OSError:
        with suppress(OSError):
            path.unlink()
        return False
    return True
