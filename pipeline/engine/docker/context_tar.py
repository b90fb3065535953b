"""Tars for the classic builder: of a folder, and of a Dockerfile alone."""

from __future__ import annotations

import io
import os
import tarfile
import tempfile
from collections.abc import Callable, Iterator, Set
from contextlib import contextmanager
from pathlib import Path
from typing import IO

_IN_MEMORY = 16 * 2**20


@contextmanager
def context_tar(folder: Path, always: Set[str], ignored: Callable[[str], bool]) -> Iterator[IO[bytes]]:
    """Yield a tar of a folder, without files that are `ignored` unless they are in `always`. Entries have no owner."""
    with tempfile.SpooledTemporaryFile(_IN_MEMORY) as file:
        with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as tar:
            for path in _paths(folder):
                name = os.path.relpath(path, folder)
                if name in always or not ignored(name):
                    tar.add(path, name, recursive=False, filter=_without_owner)
        file.seek(0)
        yield file


def dockerfile_tar(dockerfile: str) -> IO[bytes]:
    """Return a context of only a Dockerfile. The SDK would put it into a temporary file, which a crash leaves."""
    content, file = dockerfile.encode(), io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as tar:
        member = tarfile.TarInfo("Dockerfile")
        member.size = len(content)
        tar.addfile(member, io.BytesIO(content))
    file.seek(0)
    return file


def _paths(folder: Path) -> Iterator[str]:
    for parent, folders, files in os.walk(folder):
        folders.sort()
        yield from sorted(str(Path(parent, name)) for name in (*folders, *files))


def _without_owner(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.mtime = int(member.mtime)
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    return member
