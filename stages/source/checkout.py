"""A commit and its files."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import cached_property
from typing import IO

from pipeline.api import Revision
from pipeline.base.errors import ConfigError, PenstockError, StageFailed
from pipeline.base.git import GitFailed
from stages.source.archive import filled_archive
from stages.source.mirror import Mirror
from stages.source.objects import LeadsNowhere, Location, TreeEntry, TreeReader, locate, read_blob, unreadable
from stages.source.submodules import Submodules

# In bytes. The files that are read here are small, such as a Dockerfile or a pipeline.yaml.
_LIMIT = 4 * 2**20


def _nothing(_: str) -> bool:
    return False


class GitCheckout:
    """A commit and its files, read from the mirror. Symbolic links are followed within the repository.

    `within` names the submodule that it is of, as the begin of an error.
    """

    def __init__(self, mirror: Mirror, revision: Revision, within: str = "") -> None:
        self.mirror = mirror
        self.revision = revision
        self._within = within

    def tree(self, path: str) -> str:
        """Return the git tree id of a folder. Raises `ConfigError` if the commit has no such folder."""
        checkout, rest = self.owner(path)
        if rest == ".":
            return checkout.root
        with checkout.named():
            entry = checkout.find(rest)
        if entry is None or entry.kind != "tree":
            raise ConfigError(
                f"commit {self.revision.short} has no folder {path}",
                hint="build.context is relative to the repository's root",
            )
        return entry.id

    @contextmanager
    def archive(self, path: str, ignored: Callable[[str], bool] = _nothing) -> Iterator[IO[bytes]]:
        """Yield an uncompressed tar of a folder. Submodules and LFS files have their content, unless `ignored`."""
        checkout, rest = self.owner(path)
        try:
            with ExitStack() as stack:
                with checkout.named():
                    stream = stack.enter_context(filled_archive(checkout, rest, ignored))
                yield stream
        except GitFailed as error:
            raise unreadable(checkout.mirror.git, error) from error

    def read(self, path: str) -> bytes | None:
        """Return one file, or None if it does not exist. Raises `StageFailed` above 4 MiB."""
        checkout, rest = self.owner(path)
        with checkout.named():
            entry = checkout.find(rest)
            if entry is None or entry.kind != "blob":
                return None
            if entry.size is not None and entry.size > _LIMIT:
                raise StageFailed(f"{rest} of commit {checkout.revision.short} is larger than {_LIMIT >> 20} MiB")
            return read_blob(checkout.mirror.git, entry.id)

    @cached_property
    def root(self) -> str:
        """The id of the commit's tree."""
        try:
            return self.mirror.git("rev-parse", f"{self.revision.sha}^{{tree}}").strip()
        except GitFailed as error:
            raise unreadable(self.mirror.git, error) from error

    def submodule(self, path: str, sha: str) -> GitCheckout:
        """Return the files of a submodule, fetched if the mirror lacks them. Raises `PenstockError`."""
        with self.named():
            mirror, revision = self._submodules.fetch(path, sha)
        return GitCheckout(mirror, revision, f"{self._within}submodule {path} of commit {self.revision.short}: ")

    @contextmanager
    def named(self) -> Iterator[None]:
        """Begin the messages of errors with the submodule, if this is one."""
        try:
            yield
        except PenstockError as error:
            if not error.message.startswith(self._within):
                error.message = f"{self._within}{error.message}"
            raise

    def place(self, path: str) -> str:
        """Return the path that a path leads to, without links."""
        found = self._locate(path)
        return (found.path or ".") if found else path

    def owner(self, path: str) -> tuple[GitCheckout, str]:
        """Return the commit that contains a path, and the path within it: this commit, or that of a submodule."""
        found = self._locate(path)
        if found is None or found.entry.kind != "commit":
            return self, path
        submodule = self.submodule(found.path, found.entry.id)
        return submodule.owner(found.rest or ".")

    def find(self, path: str) -> TreeEntry | None:
        """Return the entry that a path leads to, or None."""
        found = self._locate(path)
        return found.entry if found and not found.rest else None

    @cached_property
    def _reader(self) -> TreeReader:
        return TreeReader(self.mirror.git, self.root)

    @cached_property
    def _submodules(self) -> Submodules:
        entry = self.find(".gitmodules")
        return Submodules(self.mirror, self.revision, entry.id if entry and entry.kind == "blob" else None)

    def _locate(self, path: str) -> Location | None:
        if path == ".":
            return None
        try:
            return locate(self.mirror.git, self._reader, path)
        except LeadsNowhere as error:
            raise StageFailed(
                f"{path} of commit {self.revision.short} is a symbolic link that {error}",
                hint="commit the file itself, or a link to a file of the repository",
            ) from error
