"""Git commands of the Source stage. They run no hook of a repository and leave a commit's files unchanged."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import IO

from pipeline.base.git import GitFailed, GitLimits, run_git, stream_git, with_settings
from pipeline.base.ssh_command import ssh_command

_SETTINGS = (
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "gc.autoDetach=false",
    # These protocols run any command, or read a descriptor that nothing is connected to.
    "protocol.ext.allow=never",
    "protocol.fd.allow=never",
    "safe.bareRepository=all",
    "tar.umask=0022",
)
_OPTIONS = tuple(word for setting in _SETTINGS for word in ("-c", setting))
_STALLED = ("-c", "http.lowSpeedLimit=1000", "-c", "http.lowSpeedTime=30")
# Git holds all refs in memory before it prints one. A million refs fit. Each of its helpers has the same limit.
_LIST_SIZE = GitLimits(output=128 * 2**20, memory=512 * 2**20)
_FETCH_SIZE = GitLimits(output=16 * 2**20, memory=4 * 2**30)


@dataclass(frozen=True)
class RemoteLimits:
    """The limits of commands that connect to a remote, which may list refs endlessly or send a byte a minute."""

    list_timeout: timedelta = timedelta(minutes=1)
    list_size: GitLimits = _LIST_SIZE
    fetch_timeout: timedelta = timedelta(minutes=10)
    fetch_size: GitLimits = _FETCH_SIZE


_LIMITS = RemoteLimits()


class Git:
    """Git commands in one directory. Those that wait for a remote exit soon after `cancelled` is set.

    `environment` is added to the usual one. It holds the credentials of the remote, which are never arguments.
    """

    def __init__(
        self,
        directory: Path,
        cancelled: threading.Event | None = None,
        environment: Mapping[str, str] | None = None,
        limits: RemoteLimits = _LIMITS,
    ) -> None:
        self.directory = directory
        self.cancelled = cancelled
        self.environment = dict(environment or {})
        self._limits = limits

    def __call__(self, *arguments: str, standard_input: bytes = b"") -> str:
        """Return the output of a command as text. Raises `GitFailed`."""
        return _text(self.read(*arguments, standard_input=standard_input))

    def read(self, *arguments: str, standard_input: bytes = b"") -> bytes:
        """Return the output of a command as bytes. Raises `GitFailed`."""
        return run_git(
            *_OPTIONS,
            *arguments,
            directory=self.directory,
            environment=self.environment,
            standard_input=standard_input,
        )

    def maybe(self, *arguments: str) -> str | None:
        """Return the output of a command, or None if it fails."""
        try:
            return self(*arguments)
        except GitFailed:
            return None

    def commit(self, name: str) -> str | None:
        """Return the commit that a revision such as `main~1` names, or None."""
        # Everything after `:/` is searched in messages.
        peeled = name if name.startswith(":/") else f"{name}^{{commit}}"
        found = (self.maybe("rev-parse", "--verify", "--quiet", peeled) or "").strip()
        # `^main` excludes commits. Git prints it with the `^`.
        return found if re.fullmatch("[0-9a-f]+", found) else None

    def list_refs(self, url: str, *patterns: str) -> str:
        """Return the refs of a remote. Raises `GitFailed` and `Cancelled`."""
        return self._remotely(
            "ls-remote", "--", url, *patterns, timeout=self._limits.list_timeout, limits=self._limits.list_size
        )

    def fetch(self, *arguments: str, command: Sequence[str] = ("fetch",)) -> None:
        """Fetch. Raises `GitFailed` and `Cancelled`."""
        self._remotely(*command, *arguments, timeout=self._limits.fetch_timeout, limits=self._limits.fetch_size)

    def fetch_lfs(self, settings: Mapping[str, str], *arguments: str) -> None:
        """Fetch LFS objects with git-lfs. Raises `GitFailed` and `Cancelled`."""
        git = Git(self.directory, self.cancelled, with_settings(self.environment, settings), self._limits)
        git.fetch(*arguments, command=("lfs", "fetch"))

    def _remotely(self, *arguments: str, timeout: timedelta, limits: GitLimits) -> str:
        output = run_git(
            *_OPTIONS,
            *_STALLED,
            *arguments,
            directory=self.directory,
            timeout=timeout,
            cancelled=self.cancelled,
            environment={"GIT_SSH_COMMAND": ssh_command(os.environ, _users_ssh_command()), **self.environment},
            limits=limits,
        )
        return _text(output)

    @contextmanager
    def stream(self, *arguments: str) -> Iterator[IO[bytes]]:
        """Yield the output of a command as a stream. Raises `GitFailed` at the end if it failed."""
        with stream_git(*_OPTIONS, *arguments, directory=self.directory, environment=self.environment) as stream:
            yield stream


def _users_ssh_command() -> str | None:
    """Return the `core.sshCommand` of the user or the system. A repository's own would run any program."""
    try:
        found = run_git("config", "--get", "core.sshCommand", directory=Path("/"), environment={"GIT_DIR": os.devnull})
    except GitFailed:
        return None
    return _text(found).rstrip("\n")


def _text(output: bytes) -> str:
    # Names in a repository may have any encoding.
    return output.decode(errors="surrogateescape")
