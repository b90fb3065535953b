"""The files of one commit."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

from pipeline.api import Revision
from pipeline.base.errors import ConfigError, StageFailed
from stages.source.git import Git

# What is read of a commit is read by people: a Dockerfile, a pipeline.yaml.
_LIMIT = 4 * 2**20


class GitSnapshot:
    """The files of one commit, read from the mirror."""

    def __init__(self, git: Git, revision: Revision) -> None:
        self._git = git
        self.revision = revision

    def tree(self, path: str) -> str:
        """The git tree id of a folder. Raises `ConfigError` when the commit has no such folder."""
        if path == ".":
            return self._git("rev-parse", f"{self.revision.sha}^{{tree}}").strip()
        found = self._git("ls-tree", "-d", self.revision.sha, "--", path).split()
        if not found:
            raise ConfigError(
                f"commit {self.revision.short} has no folder {path}",
                hint="build.context is relative to the repository's root",
            )
        return found[2]

    @contextmanager
    def archive(self, path: str) -> Iterator[IO[bytes]]:
        """An uncompressed tar of a folder."""
        what = self.revision.sha if path == "." else f"{self.revision.sha}:{path}"
        with self._git.stream("archive", "--format=tar", what) as stream:
            yield stream

    def read(self, path: str) -> bytes | None:
        """One file, or None when there is none of that name. Raises `StageFailed` for one that nobody would read."""
        blob = f"{self.revision.sha}:{path}"
        size = self._git.maybe("cat-file", "-s", blob)
        if size is not None and int(size) > _LIMIT:
            raise StageFailed(f"{path} of commit {self.revision.short} is larger than {_LIMIT >> 20} MiB")
        return self._git.content("cat-file", "blob", blob) if size is not None else None
