"""Git commands as the Source stage runs them: no hook of a repository is run, and a commit's files stay as they are."""

from __future__ import annotations

import re
import shutil
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import IO

from pipeline.base.errors import ConfigError, StageFailed
from pipeline.base.git import GitFailed, redact, run_git, stream_git

_SETTINGS = (
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "gc.autoDetach=false",
    "protocol.ext.allow=never",
    "safe.bareRepository=all",
    "tar.umask=0022",
)
_OPTIONS = tuple(word for setting in _SETTINGS for word in ("-c", setting))
_NO_ATTRIBUTES = "-export-ignore -export-subst -filter -ident -text -eol -working-tree-encoding"
_STALLED = ("-c", "http.lowSpeedLimit=1000", "-c", "http.lowSpeedTime=30")
_FETCH_TIMEOUT = timedelta(minutes=10)
_REFS = ("+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*")


class Git:
    """Git commands in one directory. Those that may wait for others end soon after `cancelled` is set."""

    def __init__(self, directory: Path, cancelled: threading.Event | None = None) -> None:
        self.directory = directory
        self._cancelled = cancelled

    def __call__(self, *arguments: str) -> str:
        """Return what a command prints. Raises `GitFailed`."""
        return _text(run_git(*_OPTIONS, *arguments, directory=self.directory))

    def patiently(self, *arguments: str, timeout: timedelta) -> str:
        """Return what a command prints that may wait for the network. Raises `GitFailed`, and `Cancelled`."""
        output = run_git(*_OPTIONS, *arguments, directory=self.directory, timeout=timeout, cancelled=self._cancelled)
        return _text(output)

    def maybe(self, *arguments: str) -> str | None:
        """Return what a command prints, or None when it fails."""
        try:
            return self(*arguments)
        except GitFailed:
            return None

    @contextmanager
    def stream(self, *arguments: str) -> Iterator[IO[bytes]]:
        """Give what a command prints, as it comes. Raises `GitFailed` at the end when it failed."""
        with stream_git(*_OPTIONS, *arguments, directory=self.directory) as stream:
            yield stream


def _text(output: bytes) -> str:
    # Names in a repository may be of any encoding.
    return output.decode(errors="surrogateescape")


def is_url(repository: str) -> bool:
    """Return whether git would reach it over a network: `scheme://…`, or `host:path` as ssh has it."""
    return "://" in repository or (
        re.match(r"(?:[^/\s]+@)?[^/:\s]+:(?!/?/)", repository) is not None and not Path(repository).exists()
    )


def fetch(mirror: Git, location: str, *refs: str) -> None:
    """Fetch refs into a mirror, and create it if it is missing. Raises `GitFailed`."""
    path = mirror.directory
    new = not (path / "HEAD").exists()
    if new:
        shutil.rmtree(path, ignore_errors=True)
        path.mkdir(mode=0o700, parents=True)
        mirror("init", "--bare", "--quiet")
    _prepare(path)
    mirror.patiently(
        *_STALLED,
        "fetch",
        "--quiet",
        "--force",
        "--no-write-fetch-head",
        "--no-auto-maintenance",
        # Tags that come along would have to be listed first, all of them.
        "--no-tags" if refs else "--prune",
        "--",
        location,
        *(refs or _REFS),
        timeout=_FETCH_TIMEOUT,
    )
    if new:
        # As files, tens of thousands of refs would cost each later fetch a second.
        mirror("pack-refs", "--all")
    mirror.maybe("gc", "--auto", "--quiet")


def _prepare(path: Path) -> None:
    # The build context is the commit: nothing is left out of it, filled in, or put through a program, whatever the
    # commit itself says.
    (path / "info").mkdir(exist_ok=True)
    (path / "info" / "attributes").write_text(f"* {_NO_ATTRIBUTES}\n")
    # A killed git leaves its locks. The mirror's own lock is held here, so no process holds these.
    for place in (path.glob("*.lock"), *((path / folder).rglob("*.lock") for folder in ("refs", "objects/info"))):
        for stale in place:
            stale.unlink(missing_ok=True)


def explain(error: GitFailed, location: str) -> StageFailed | ConfigError:
    """Return the error of a failed fetch, with a hint."""
    text = str(error)
    last = next((line for line in reversed(text.splitlines()) if line.strip()), "git said nothing")
    if "dubious ownership" in text:
        return ConfigError(
            f"{location} belongs to another user, and git will not read it",
            hint=f"trust it: git config --global --add safe.directory {location}",
        )
    known: Mapping[str, str] = {
        "could not read Username": "give git a credential helper, or use ssh",
        "Authentication failed": "look at the credentials",
        "Permission denied": "look at the ssh key",
        "Could not resolve host": "look at the host's name and the network",
        "Repository not found": "look at the address, and whether you may read it",
    }
    hint = next((advice for sign, advice in known.items() if sign in text), None)
    return StageFailed(f"cannot fetch {redact(location)}: {last.removeprefix('fatal: ')}", hint=hint)
