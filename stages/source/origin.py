"""The repository of a pipeline: on this machine, or at a URL."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from pipeline.base.errors import ConfigError
from pipeline.base.git import GitFailed
from pipeline.base.memory_file import memory_file
from pipeline.base.remote_url import RemoteUrl
from stages.source.fetch_errors import explain
from stages.source.git import Git
from stages.source.refs import heads, remote_heads


class Origin(Protocol):
    """A repository that a mirror copies. Git fetches from `location`. Messages contain `shown`."""

    location: str
    shown: str
    environment: Mapping[str, str]

    def object_format(self, git: Git, /) -> str:
        """Return `sha1` or `sha256`. Raises `GitFailed`, also if the repository cannot be listed within the limits."""

    def fetch_options(self) -> Sequence[str]:
        """Return the options that this repository needs."""

    def heads(self, git: Git, /, patterns: Sequence[str]) -> dict[str, str]:
        """Return the commit of every ref that matches a pattern. Raises `GitFailed`."""

    @property
    def bases(self) -> Sequence[str]:
        """The URLs or paths that a relative URL of a submodule may be relative to, the most likely first."""


class LocalOrigin:
    """A repository on this machine. `checkout` is git in its working tree, if it has one. It is never written.

    `directory` is git's own for this working tree. For a linked worktree, it is another than `location`.
    """

    def __init__(
        self, path: Path, environment: Mapping[str, str] | None = None, named_by: str = "source.repository"
    ) -> None:
        if not path.is_dir():
            raise ConfigError(f"{named_by}: {path} does not exist", hint="name a git repository, or a URL")
        self.git = Git(path)
        try:
            found = self.git(
                "rev-parse",
                "--is-bare-repository",
                "--show-object-format",
                "--path-format=absolute",
                "--git-common-dir",
                "--absolute-git-dir",
            )
        except GitFailed as error:
            if "dubious ownership" in str(error):
                raise explain(error, str(path)) from error
            raise _no_repository(path, named_by, error) from error
        bare, self._object_format, places = found.removesuffix("\n").split("\n", 2)
        self.location, newline, self.directory = places.partition("\n")
        if not newline or "\n" in self.directory:
            # A path may contain any line break.
            self.location = self._place("--git-common-dir")
            self.directory = self._place("--absolute-git-dir")
        self.shown = self.location
        self.checkout = self.git if bare == "false" else None
        promisor = r"^remote\..*\.promisor$|^extensions\.partialclone$"
        self._is_partial = self.git.maybe("config", "--get-regexp", promisor) is not None
        # The objects that a partial clone lacks come from its own remote, which git allows only with this setting.
        lazy = {"GIT_NO_LAZY_FETCH": "0"} if self._is_partial else {}
        self.environment: Mapping[str, str] = {**(environment or {}), **lazy}

    def object_format(self, _: Git, /) -> str:
        """Return the format of the repository."""
        return self._object_format

    def fetch_options(self) -> Sequence[str]:
        """Return the options. From a partial clone, only the files of the commits are fetched, not their history."""
        return ("--depth=1",) if self._is_partial else ()

    def heads(self, _: Git, /, patterns: Sequence[str]) -> dict[str, str]:
        """Return the commit of every ref that matches a pattern, read from the repository."""
        return heads(self.git, patterns)

    def _place(self, option: str) -> str:
        return self.git("rev-parse", "--path-format=absolute", option).removesuffix("\n")

    def setting(self, name: str) -> str | None:
        """Return a setting of the repository."""
        found = self.git.maybe("config", "--get", name)
        return found.rstrip("\n") if found else None

    @property
    def bases(self) -> Sequence[str]:
        """The URL of its remote, as in git, else its own path. Others may clone a bare one, so its path comes first."""
        remote = self.setting("remote.origin.url")
        if self.checkout is None:
            return (self.location, remote) if remote else (self.location,)
        return (remote or (self.git.maybe("rev-parse", "--show-toplevel") or self.location).rstrip("\n"),)


class RemoteOrigin:
    """A repository at a URL."""

    def __init__(self, url: RemoteUrl, environment: Mapping[str, str] | None = None) -> None:
        self.location = url.url
        self.bases: Sequence[str] = (url.url,)
        self.shown = str(url)
        # Credentials are for one host, so those of the repository do not harm a submodule of another host.
        self.environment: Mapping[str, str] = {**(environment or {}), **url.environment()}

    def object_format(self, git: Git, /) -> str:
        """Return the format of its ids. An empty repository counts as `sha1`."""
        listed = git.list_refs(self.location)
        if not listed:
            _check_speaks_git(git, self.location)
        return "sha256" if len(listed.partition("\t")[0]) == 64 else "sha1"

    def fetch_options(self) -> Sequence[str]:
        """Return none."""
        return ()

    def heads(self, git: Git, /, patterns: Sequence[str]) -> dict[str, str]:
        """Return the commit of every ref that matches a pattern, listed by the remote."""
        found = remote_heads(git, self.location, patterns)
        if not found:
            _check_speaks_git(git, self.location)
        return found


def _no_repository(path: Path, named_by: str, error: GitFailed) -> ConfigError:
    """Return the error of a folder in which git finds no repository, or only the remains of one."""
    directory = path / ".git" if (path / ".git").exists() else path
    if directory.is_file():
        return ConfigError(f"{named_by}: {path}: {_reason(error)}", hint="run there: git worktree repair")
    if not (directory / "objects").is_dir() and directory == path:
        return ConfigError(
            f"{named_by}: {path} is not a git repository",
            hint="make it one: git init && git add . && git commit -m 'First'",
        )
    if "not a git repository" in str(error):
        return ConfigError(
            f"{named_by}: the repository {path} is damaged: {directory}/HEAD, objects or refs is missing or not valid",
            hint=f"for a damaged HEAD: echo 'ref: refs/heads/main' > {directory}/HEAD; then run git fsck",
        )
    return ConfigError(f"{named_by}: cannot read {path}: {_reason(error)}")


def _reason(error: GitFailed) -> str:
    return str(error).partition("\n")[0].removeprefix("fatal: ")


def _check_speaks_git(git: Git, url: str) -> None:
    """Raise `GitFailed` if no git server responds.

    Git takes any page without a tab and a line break for an empty repository.
    """
    if not url.lower().startswith(("http://", "https://")):
        return
    with memory_file() as trace:
        traced = {**git.environment, "GIT_TRACE_PACKET": str(trace)}
        Git(git.directory, git.cancelled, traced).list_refs(url, "HEAD")
        if b"packet:" not in trace.read_bytes():
            raise GitFailed("no git answers")
