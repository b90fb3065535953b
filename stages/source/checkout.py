"""A commit and its files."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import IO

from pipeline.api import Revision
from pipeline.base.errors import ConfigError, StageFailed
from stages.source.git import Git
from stages.source.objects import open_tree

# The files that are read here are written by people: a Dockerfile, a pipeline.yaml.
_LIMIT = 4 * 2**20


class GitCheckout:
    """A commit and its files, read from the mirror."""

    def __init__(self, git: Git, revision: Revision) -> None:
        self._git = git
        self.revision = revision

    def tree(self, path: str) -> str:
        """Return the git tree id of a folder. Raises `ConfigError` when the commit has no such folder."""
        if path == ".":
            return self._root
        with open_tree(self._git.directory, self._root) as root:
            try:
                found = root / path
            except KeyError:
                found = None
            if found is not None and found.type == "tree":
                return found.hexsha
        raise ConfigError(
            f"commit {self.revision.short} has no folder {path}",
            hint="build.context is relative to the repository's root",
        )

    @contextmanager
    def archive(self, path: str) -> Iterator[IO[bytes]]:
        """Give an uncompressed tar of a folder."""
        what = self.revision.sha if path == "." else f"{self.revision.sha}:{path}"
        with self._git.stream("archive", "--format=tar", what) as stream:
            yield stream

    def read(self, path: str) -> bytes | None:
        """Return one file, or None when there is none of that name. Raises `StageFailed` for one of more than 4 MiB."""
        with open_tree(self._git.directory, self._root) as root:
            try:
                found = root / path
            except KeyError:
                return None
            if found.type != "blob":
                return None
            if found.size > _LIMIT:
                raise StageFailed(f"{path} of commit {self.revision.short} is larger than {_LIMIT >> 20} MiB")
            content: bytes = found.data_stream.read()
            return content

    @cached_property
    def _root(self) -> str:
        """The id of the commit's tree."""
        return self._git("rev-parse", f"{self.revision.sha}^{{tree}}").strip()
