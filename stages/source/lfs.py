"""Files that Git LFS stores outside of git. The commit contains a pointer instead."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from pipeline.api import Revision
from pipeline.base.errors import StageFailed
from pipeline.base.git import GitFailed
from stages.source.fetch_errors import explain
from stages.source.mirror import Mirror
from stages.source.origin import LocalOrigin

_POINTER = re.compile(
    rb"version https://(?:git-lfs\.github\.com|hawser\.github\.com)/spec/v1\n"
    rb"(?:ext-\d-[^\n]*\n)*oid sha256:([0-9a-f]{64})\nsize (\d+)\n?"
)
# The sizes that a pointer may have, in bytes.
POINTER_SIZES = range(100, 1024)
_HINT = "or exclude the file in .dockerignore"
# The number of patterns in one command, because the length of an argument is limited.
_BATCH = 500


@dataclass(frozen=True)
class LfsPointer:
    """The content of a file, named by its SHA-256. `size` is in bytes."""

    oid: str
    size: int

    @classmethod
    def parse(cls, content: bytes) -> Self | None:
        """Parse a pointer. Returns None if the file is not one."""
        match = _POINTER.fullmatch(content)
        return cls(match[1].decode(), int(match[2])) if match else None


class LfsObjects:
    """The LFS objects of a commit: in the user's repository, in the mirror, or fetched by git-lfs.

    Paths are relative to the top of the repository.
    """

    def __init__(self, mirror: Mirror, revision: Revision) -> None:
        self._mirror = mirror
        self._revision = revision
        origin = mirror.origin
        self._folders = [mirror.git.directory / "lfs"]
        if isinstance(origin, LocalOrigin):
            self._folders.insert(0, Path(origin.location, origin.setting("lfs.storage") or "lfs"))

    def fetch(self, pointers: Mapping[str, LfsPointer]) -> dict[str, Path]:
        """Return the file with the content of each path. Raises `StageFailed`, which names a path."""
        missing = [path for path, pointer in pointers.items() if self._place(pointer) is None]
        for start in range(0, len(missing), _BATCH):
            self._fetch(missing[start : start + _BATCH])
        found = {path: self._place(pointer) for path, pointer in pointers.items()}
        for path, place in found.items():
            if place is None:
                raise self._failed(path, "and its LFS server does not have the content", f"git lfs push --all, {_HINT}")
        return {path: place for path, place in found.items() if place is not None}

    def _place(self, pointer: LfsPointer) -> Path | None:
        if pointer.size == 0:
            # Git LFS keeps no empty content.
            return Path(os.devnull)
        name = Path("objects", pointer.oid[:2], pointer.oid[2:4], pointer.oid)
        places = (folder / name for folder in self._folders)
        return next((place for place in places if place.is_file() and place.stat().st_size == pointer.size), None)

    def _fetch(self, paths: list[str]) -> None:
        if shutil.which("git-lfs") is None:
            raise self._failed(paths[0], "and git-lfs is not installed", f"apt-get install git-lfs, {_HINT}")
        # In a pattern, `?` replaces special characters. A pattern that matches more files does no harm.
        include = ",".join("/" + re.sub(r"[,*?\[\]\\!#]", "?", path) for path in paths)
        try:
            self._mirror.git.fetch_lfs(
                self._endpoint(), f"--include={include}", "--exclude=", "origin", self._revision.sha
            )
        except GitFailed as error:
            failed = explain(error, self._mirror.origin.shown)
            raise self._failed(paths[0], f"and its content cannot be fetched: {failed.message}", _HINT) from error

    def _endpoint(self) -> dict[str, str]:
        """Return the settings with which git-lfs finds the server of the repository."""
        origin = self._mirror.origin
        committed = self._mirror.git.maybe("config", "--blob", f"{self._revision.sha}:.lfsconfig", "--get", "lfs.url")
        own = {"remote.origin.url": origin.bases[-1]}
        if committed:
            own["lfs.url"] = committed.rstrip("\n")
        if isinstance(origin, LocalOrigin):
            names = ("lfs.url", "remote.origin.lfsurl")
            own |= {name: value for name in names if (value := origin.setting(name))}
        return own

    def _failed(self, path: str, reason: str, hint: str) -> StageFailed:
        return StageFailed(f"{path} of commit {self._revision.short} is a Git LFS pointer, {reason}", hint=hint)
