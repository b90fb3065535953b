"""Git, by way of GitPython: the only module that knows it.

Git is told nothing by our surroundings: the variables that point it at another repository (a hook's, say) are
removed, no hook of anybody's is run, and nothing is asked at a terminal.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from pipeline.base.errors import Cancelled, ConfigError, StageFailed, SystemFault

# What `git rev-parse --local-env-vars` lists, and what tells git where to look or what to run.
_MISLEADING = (
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_CEILING_DIRECTORIES",
    "GIT_COMMON_DIR",
    "GIT_CONFIG",
    "GIT_CONFIG_COUNT",
    "GIT_CONFIG_PARAMETERS",
    "GIT_DIR",
    "GIT_GRAFT_FILE",
    "GIT_IMPLICIT_WORK_TREE",
    "GIT_INDEX_FILE",
    "GIT_INTERNAL_SUPER_PREFIX",
    "GIT_NAMESPACE",
    "GIT_NO_REPLACE_OBJECTS",
    "GIT_OBJECT_DIRECTORY",
    "GIT_PREFIX",
    "GIT_QUARANTINE_PATH",
    "GIT_REPLACE_REF_BASE",
    "GIT_SHALLOW_FILE",
    "GIT_WORK_TREE",
)
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
_FETCH_TIMEOUT = 600
_LOOK = 0.1
_REFS = ("+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*")


class GitFailed(Exception):
    """A git command failed; the text is git's own, without passwords."""


class Git:
    """Git commands in one directory. Those that may wait for others end soon after `cancelled` is set."""

    def __init__(self, directory: Path, cancelled: threading.Event | None = None) -> None:
        self.directory = directory
        self._cancelled = cancelled or threading.Event()
        for name in _MISLEADING:
            os.environ.pop(name, None)
        # It would look for git at import, and warn in its own way.
        os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")
        import git

        if shutil.which("git") is None:
            raise SystemFault("there is no git on PATH", hint="install it: apt-get install git")
        self._git = git.Git(str(directory))
        self._git.update_environment(
            GIT_TERMINAL_PROMPT="0",
            GIT_OPTIONAL_LOCKS="0",
            GIT_SSH_COMMAND=os.environ.get("GIT_SSH_COMMAND", "ssh -o BatchMode=yes -o ConnectTimeout=20"),
            LC_ALL="C.UTF-8",
        )

    def __call__(self, *arguments: str, timeout: float | None = None) -> str:
        """What a command prints. Raises `GitFailed`."""
        return self._run(arguments, timeout).decode(errors="surrogateescape")

    def patiently(self, *arguments: str, timeout: float) -> str:
        """What a command prints that may wait for somebody else. Raises `GitFailed`, and `Cancelled`."""
        deadline = time.monotonic() + timeout
        with _readable_errors():
            # Of a session of its own, so that what it has started for the network can be ended with it.
            process: Any = self._git.execute(["git", *_OPTIONS, *arguments], as_process=True, start_new_session=True)
            while True:
                try:
                    output, error = process.proc.communicate(timeout=_LOOK)
                    break
                except subprocess.TimeoutExpired:
                    if not self._cancelled.is_set() and time.monotonic() < deadline:
                        continue
                    os.killpg(process.proc.pid, signal.SIGKILL)
                    process.proc.communicate()
                    if self._cancelled.is_set():
                        raise Cancelled("cancelled") from None
                    raise GitFailed(f"it did not end within {timeout:g} s") from None
        if process.proc.returncode != 0:
            raise GitFailed(redact(error.decode(errors="replace").strip()))
        return str(output.decode(errors="surrogateescape"))

    def maybe(self, *arguments: str) -> str | None:
        """What a command prints, or None when it fails."""
        try:
            return self(*arguments)
        except GitFailed:
            return None

    def content(self, *arguments: str) -> bytes | None:
        """The bytes that a command prints, or None when it fails."""
        try:
            return self._run(arguments, None)
        except GitFailed:
            return None

    @contextmanager
    def stream(self, *arguments: str) -> Iterator[IO[bytes]]:
        """What a command prints, as it comes. Raises `GitFailed` at the end when it failed."""
        with _readable_errors():
            process: Any = self._git.execute(["git", *_OPTIONS, *arguments], as_process=True)
            try:
                yield process.proc.stdout
                # What the reader leaves (padding after the end of a tar) must be taken, or git dies of a closed pipe.
                while process.proc.stdout.read(65536):
                    pass
                process.wait()
            finally:
                process.proc.stdout.close()

    def _run(self, arguments: tuple[str, ...], timeout: float | None) -> bytes:
        with _readable_errors():
            output = self._git.execute(
                ["git", *_OPTIONS, *arguments],
                stdout_as_string=False,
                strip_newline_in_stdout=False,
                kill_after_timeout=timeout,
            )
        assert isinstance(output, bytes)
        return output


@contextmanager
def _readable_errors() -> Iterator[None]:
    import git

    try:
        yield
    except git.GitCommandError as error:
        text = error.stderr if isinstance(error.stderr, str) else error.stderr.decode(errors="replace")
        raise GitFailed(redact(text.strip().removeprefix("stderr: '").removesuffix("'"))) from None


def redact(location: str) -> str:
    """A location, or a text with locations, without user names and passwords."""
    return re.sub(r"://[^/@\s]*@", "://***@", location)


def is_url(repository: str) -> bool:
    """Whether git would reach it over a network: `scheme://…`, or `host:path` as ssh has it."""
    return "://" in repository or (
        re.match(r"(?:[^/\s]+@)?[^/:\s]+:(?!/?/)", repository) is not None and not Path(repository).exists()
    )


def fetch(mirror: Git, location: str, *refs: str) -> None:
    """Bring refs into a mirror, which is made where it is missing. Raises `GitFailed`."""
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
    # A killed git leaves its locks. Ours is held, so whoever held these is gone.
    for place in (path.glob("*.lock"), *((path / folder).rglob("*.lock") for folder in ("refs", "objects/info"))):
        for stale in place:
            stale.unlink(missing_ok=True)


def explain(error: GitFailed, location: str) -> StageFailed | ConfigError:
    """Git's refusal to fetch, as something to act on."""
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
