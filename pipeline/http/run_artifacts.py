"""The files that a run's tests have left. Their names and their content are the tests' choice, and are not trusted."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO
from urllib.parse import quote, unquote_to_bytes

from pipeline.base.errors import ConfigError
from pipeline.base.home import Home
from pipeline.http.responses.artifact import ArtifactResponse

_CHUNK = 256 * 1024
# Halves of surrogate pairs, by which Python keeps bytes of a name that are no UTF-8. JSON cannot hold them.
_UNDECODED = re.compile("[\ud800-\udfff]")


class ArtifactMissing(ConfigError):
    """The run has no such file."""


@dataclass(frozen=True)
class OpenArtifact:
    """An open file. `close` it, or read all `chunks`."""

    name: str
    size: int
    descriptor: int

    @property
    def headers(self) -> dict[str, str]:
        """The headers with which a browser saves it and does nothing else with it."""
        return {
            "Content-Length": str(self.size),
            "Content-Disposition": f"attachment; filename*=UTF-8''{_quoted(self.name, safe='')}",
            "Content-Security-Policy": "default-src 'none'; sandbox",
            "X-Content-Type-Options": "nosniff",
            "Cache-Control": "no-store",
        }

    def chunks(self) -> Iterator[bytes]:
        """Return an iterator over the content, `size` bytes at most. The file is closed with it, also if unread."""
        chunks = _chunks(os.fdopen(self.descriptor, "rb"), self.size)
        # An iterator that has not begun would leave the file open: the client may be gone before its first chunk.
        next(chunks)
        return chunks


class RunArtifacts:
    """The files of one run. They never change, and go when the run is pruned."""

    def __init__(self, home: Home, pipeline: str, run: int) -> None:
        self._folder = home.run_artifacts(pipeline, run)
        self._place = f"/v1/pipelines/{quote(pipeline, safe='')}/runs/{run}/artifacts"
        self._run = run

    def all(self) -> list[ArtifactResponse]:
        """Return the files, by their paths. Empty if there are none."""
        return [
            ArtifactResponse(
                run=self._run,
                path=_UNDECODED.sub(lambda found: ascii(found[0])[1:-1], str(path)),
                size=size,
                url=f"{self._place}/{_quoted(str(path))}",
            )
            for path, size in sorted(self._found())
        ]

    def open(self, quoted: bytes | str) -> OpenArtifact:
        """Open the file of a path as a URL has it. Raises `ArtifactMissing` for any that is not in the list."""
        parts = os.fsdecode(unquote_to_bytes(quoted)).split("/")
        if any(part in ("", ".", "..") or "\0" in part for part in parts):
            raise self._missing()
        try:
            return self._opened(parts)
        except OSError:
            raise self._missing() from None

    def _opened(self, parts: list[str]) -> OpenArtifact:
        """Open each folder in turn, so that no link of any kind is followed."""
        folder = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        try:
            for part in parts[:-1]:
                inner = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=folder)
                os.close(folder)
                folder = inner
            descriptor = os.open(parts[-1], os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder)
        finally:
            os.close(folder)
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            os.close(descriptor)
            raise self._missing()
        return OpenArtifact(parts[-1], found.st_size, descriptor)

    def _found(self) -> Iterator[tuple[Path, int]]:
        # The run may be pruned meanwhile, so `rglob` may raise, too.
        with suppress(OSError):
            for path in self._folder.rglob("*"):
                with suppress(OSError):
                    found = path.lstat()
                    if stat.S_ISREG(found.st_mode):
                        yield path.relative_to(self._folder), found.st_size

    def _missing(self) -> ArtifactMissing:
        return ArtifactMissing(f"run {self._run} has no such artifact", hint="`pipeline artifacts` lists them")


def _chunks(file: BinaryIO, left: int) -> Iterator[bytes]:
    with file:
        yield b""
        while left > 0 and (chunk := file.read(min(_CHUNK, left))):
            left -= len(chunk)
            yield chunk


def _quoted(text: str, safe: str = "/") -> str:
    return quote(os.fsencode(text), safe=safe)
