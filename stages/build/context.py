"""The build context: the commit's files as a tar, without what .dockerignore names."""

from __future__ import annotations

import tarfile
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import IO, Any

from pipeline.api import Snapshot
from pipeline.errors import StageFailed
from pipeline.quantity import format_size

_IN_MEMORY = 16 * 2**20


@contextmanager
def build_context(
    snapshot: Snapshot, folder: str, dockerfile: str, ignore: str | None, limit: int
) -> Iterator[IO[bytes]]:
    """The context as a file at its start. Raises `StageFailed` for one of more than `limit` bytes.

    Every file has the time of the commit: the builder's cache looks at it, and a fresh checkout has none.
    """
    from docker.utils.build import PatternMatcher

    patterns = PatternMatcher(_patterns(ignore or "")).patterns
    always = {dockerfile, ".dockerignore"}
    with tempfile.SpooledTemporaryFile(_IN_MEMORY) as file:
        with snapshot.archive(folder) as stream:
            _copy(stream, file, lambda name: name in always or not _ignored(name, patterns), snapshot, limit)
        file.seek(0)
        yield file


def _ignored(name: str, patterns: list[Any]) -> bool:
    """Whether the last pattern that means a path, or a folder above it, takes it out."""
    parts = name.split("/")
    paths = ["/".join(parts[:length]) for length in range(1, len(parts) + 1)]
    verdict = False
    for pattern in patterns:
        if any(pattern.match(path) for path in paths):
            verdict = not pattern.exclusion
    return verdict


def _patterns(ignore: str) -> list[str]:
    lines = (line.strip() for line in ignore.lstrip("\ufeff").splitlines())
    return [line for line in lines if line and not line.startswith("#")]


def _copy(stream: IO[bytes], file: IO[bytes], wanted: Callable[[str], bool], snapshot: Snapshot, limit: int) -> None:
    modified, room = _seconds(snapshot.revision.committed_at), limit
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
