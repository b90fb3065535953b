"""Git as a subprocess with a clean environment, a deadline and cancellation."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import IO

from pipeline.base.errors import Cancelled, SystemFault

# The variables of `git rev-parse --local-env-vars`, and others that change where git reads or what it runs. Git sets
# them for its hooks, so a command that a hook starts would work on the hook's repository.
_UNSAFE_GIT_VARIABLES = frozenset(
    {
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
    }
)
_SSH = "ssh -o BatchMode=yes -o ConnectTimeout=20"
# No local command takes this long.
_TIMEOUT = timedelta(hours=1)
_POLL_INTERVAL = 0.1


class GitFailed(Exception):
    """A git command failed. The text is git's message, without user names and passwords."""


def run_git(
    *arguments: str,
    directory: Path,
    timeout: timedelta = _TIMEOUT,
    cancelled: threading.Event | None = None,
) -> bytes:
    """Return the output of a command. Git never prompts at a terminal.

    Raises `GitFailed` if the command fails or exceeds `timeout`, `Cancelled` soon after `cancelled` is set, and
    `SystemFault` if git is not installed.
    """
    process = _start(arguments, directory, subprocess.PIPE)
    deadline = time.monotonic() + timeout.total_seconds()
    try:
        while True:
            with suppress(subprocess.TimeoutExpired):
                output, error = process.communicate(timeout=_POLL_INTERVAL)
                break
            if cancelled is not None and cancelled.is_set():
                raise Cancelled("cancelled")
            if time.monotonic() > deadline:
                raise GitFailed(f"git did not finish within {timeout.total_seconds():g} s")
    finally:
        _end(process)
    _check(process, error)
    return output


@contextmanager
def stream_git(*arguments: str, directory: Path) -> Iterator[IO[bytes]]:
    """Stream the output of a command. There is no deadline: the reader sets the pace.

    Raises `GitFailed` at the end of the `with` block if the command failed.
    """
    with tempfile.TemporaryFile() as errors:
        process = _start(arguments, directory, errors)
        assert process.stdout is not None
        try:
            yield process.stdout
            # Git fails on a closed pipe unless all output is read, such as the padding after the end of a tar.
            while process.stdout.read(65536):
                pass
            process.wait()
        finally:
            _end(process)
        errors.seek(0)
        _check(process, errors.read())


def redact(text: str) -> str:
    """Return a text without the user names and passwords of the URLs in it."""
    return re.sub(r"://[^/@\s]*@", "://***@", text)


def _start(arguments: tuple[str, ...], directory: Path, errors: int | IO[bytes]) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(
            ["git", *arguments],
            cwd=directory,
            env=_environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            # A separate session, so that git's network helpers can be killed with it.
            start_new_session=True,
        )
    except OSError as error:
        if shutil.which("git") is None:
            raise SystemFault("git is not on PATH", hint="apt-get install git") from error
        raise GitFailed(f"{directory}: {error.strerror}") from error


def _environment() -> dict[str, str]:
    clean = {name: value for name, value in os.environ.items() if name not in _UNSAFE_GIT_VARIABLES}
    return {
        "GIT_SSH_COMMAND": _SSH,
        **clean,
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_OPTIONAL_LOCKS": "0",
        "LANGUAGE": "C",
        "LC_ALL": "C.UTF-8",
    }


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kill the process group if it still runs, and close the pipes."""
    if process.poll() is None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    for pipe in (process.stdout, process.stderr):
        if pipe is not None:
            pipe.close()


def _check(process: subprocess.Popen[bytes], error: bytes) -> None:
    if process.returncode != 0:
        raise GitFailed(redact(error.decode(errors="replace").strip()))
