"""The build context: the commit's files as a tar, without what .dockerignore names."""

from __future__ import annotations

import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import IO

from pipeline.api import Snapshot

_IN_MEMORY = 16 * 2**20


@contextmanager
def build_context(snapshot: Snapshot, folder: str, dockerfile: str, ignore: str | None) -> Iterator[IO[bytes]]:
    """The context as a file at its start.

    Every file has the time of the commit: the builder's cache looks at it, and a fresh checkout has none.
    """
    from docker.utils.build import PatternMatcher

    matcher = PatternMatcher(_patterns(ignore or "")) if ignore else None
    always = {dockerfile, ".dockerignore"}
    with tempfile.SpooledTemporaryFile(_IN_MEMORY) as file:
        with snapshot.archive(folder) as stream:
            _copy(stream, file, lambda name: name in always or not (matcher and matcher.matches(name)), snapshot)
        file.seek(0)
        yield file


def _patterns(ignore: str) -> list[str]:
    lines = (line.strip() for line in ignore.lstrip("\ufeff").splitlines())
    return [line for line in lines if line and not line.startswith("#")]


def _copy(stream: IO[bytes], file: object, wanted: object, snapshot: Snapshot) -> None:
    assert callable(wanted)
    modified = _seconds(snapshot.revision.committed_at)
    with (
        tarfile.open(fileobj=stream, mode="r|") as source,
        tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as target,  # type: ignore[call-overload]
    ):
        for member in source:
            if not wanted(member.name.rstrip("/")):
                continue
            member.mtime = modified
            member.uid = member.gid = 0
            member.uname = member.gname = ""
            member.pax_headers = {}
            target.addfile(member, source.extractfile(member) if member.isfile() else None)


def _seconds(moment: datetime) -> int:
    return int(moment.timestamp())
