"""The build context: the commit's files as a tar, without what .dockerignore names."""

from __future__ import annotations

import tarfile
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import IO

from pipeline.api import Checkout
from pipeline.base.errors import StageFailed
from pipeline.base.quantity import format_size

_IN_MEMORY = 16 * 2**20


@contextmanager
def build_context(
    checkout: Checkout, folder: str, dockerfile: str, ignored: Callable[[str], bool], limit: int
) -> Iterator[IO[bytes]]:
    """Yield the context as a file. `ignored` says which paths are left out. Raises `StageFailed` above `limit` bytes.

    Every file has the time of the commit, which the builder's cache compares.
    """
    always = {dockerfile, ".dockerignore"}
    with tempfile.SpooledTemporaryFile(_IN_MEMORY) as file:
        with checkout.archive(folder) as stream:
            _copy(stream, file, lambda name: name in always or not ignored(name), checkout, limit)
        file.seek(0)
        yield file


def _copy(stream: IO[bytes], file: IO[bytes], wanted: Callable[[str], bool], checkout: Checkout, limit: int) -> None:
    modified, room = _seconds(checkout.revision.committed_at), limit
    with (
        tarfile.open(fileobj=stream, mode="r|") as source,
        tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as target,
    ):
        for member in source:
            if not wanted(member.name.rstrip("/")):
                continue
            room -= member.size
            if room < 0:
                raise StageFailed(
                    f"the build context is larger than {format_size(limit)}: {member.name!r} has {member.size} bytes",
                    hint="name in .dockerignore what the image does not need, or raise build.context_limit",
                )
            member.mtime = modified
            member.uid = member.gid = 0
            member.uname = member.gname = ""
            member.pax_headers = {}
            target.addfile(member, source.extractfile(member) if member.isfile() else None)


def _seconds(moment: datetime) -> int:
    return int(moment.timestamp())
