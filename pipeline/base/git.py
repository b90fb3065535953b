"""Git as a subprocess with a clean environment, a deadline and cancellation."""

from __future__ import annotations

import os
import re
import resource
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import IO

from pipeline.base.errors import Cancelled, SystemFault
from pipeline.base.process_exit import process_exit
from pipeline.base.quantity import format_size
from pipeline.base.ssh_command import ssh_command

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
        "GIT_DEFAULT_HASH",
        "GIT_DEFAULT_REF_FORMAT",
        "GIT_DIR",
        "GIT_GLOB_PATHSPECS",
        "GIT_GRAFT_FILE",
        "GIT_ICASE_PATHSPECS",
        "GIT_IMPLICIT_WORK_TREE",
        "GIT_INDEX_FILE",
        "GIT_INTERNAL_SUPER_PREFIX",
        "GIT_LITERAL_PATHSPECS",
        "GIT_NAMESPACE",
        "GIT_NOGLOB_PATHSPECS",
        "GIT_NO_REPLACE_OBJECTS",
        "GIT_OBJECT_DIRECTORY",
        "GIT_PREFIX",
        "GIT_QUARANTINE_PATH",
        "GIT_REPLACE_REF_BASE",
        "GIT_SHALLOW_FILE",
        "GIT_WORK_TREE",
    }
)
# No local command takes this long.
_TIMEOUT = timedelta(hours=1)
_POLL_INTERVAL = 0.1


class GitFailed(Exception):
    """A git command failed. The text is git's message, without user names and passwords."""


@dataclass(frozen=True)
class GitLimits:
    """The limits of a command, in bytes: `output` of what it prints, `memory` of what each of its processes keeps."""

    output: int = 256 * 2**20
    memory: int | None = None

    def apply(self, pid: int) -> None:
        """Limit the memory of a process that was just started. The processes that it starts inherit the limit."""
        if self.memory is not None:
            with suppress(ProcessLookupError):
                resource.prlimit(pid, resource.RLIMIT_DATA, (self.memory, self.memory))

    def check(self, *files: IO[bytes]) -> None:
        """Raise `GitFailed` if the command has printed too much."""
        if any(os.fstat(file.fileno()).st_size > self.output for file in files):
            raise GitFailed(f"git printed more than {format_size(self.output)}")


_LIMITS = GitLimits()


def run_git(
    *arguments: str,
    directory: Path,
    timeout: timedelta = _TIMEOUT,
    cancelled: threading.Event | None = None,
    environment: Mapping[str, str] | None = None,
    standard_input: bytes = b"",
    limits: GitLimits = _LIMITS,
) -> bytes:
    """Return the output of a command. Git never prompts at a terminal. `environment` is added to the usual one.

    Raises `GitFailed` if the command fails or exceeds `timeout` or `limits`, `Cancelled` soon after `cancelled` is set,
    and `SystemFault` if git is not installed.
    """
    with _memory_file(standard_input) as source, _memory_file() as output, _memory_file() as errors:
        process = _start(arguments, directory, environment, source, output, errors)
        limits.apply(process.pid)
        deadline = time.monotonic() + timeout.total_seconds()
        try:
            with process_exit(process) as exits:
                while not exits(_POLL_INTERVAL):
                    if cancelled is not None and cancelled.is_set():
                        raise Cancelled("cancelled")
                    if time.monotonic() > deadline:
                        raise GitFailed(f"git did not finish within {timeout.total_seconds():g} s")
                    limits.check(output, errors)
            process.wait()
        finally:
            _end(process)
        limits.check(output, errors)
        _check(process, _content(errors))
        return _content(output)


@contextmanager
def stream_git(*arguments: str, directory: Path, environment: Mapping[str, str] | None = None) -> Iterator[IO[bytes]]:
    """Stream the output of a command. There is no deadline: the reader sets the pace.

    Raises `GitFailed` at the end of the `with` block if the command failed.
    """
    # In memory, because a crash would leave a temporary file.
    with os.fdopen(os.memfd_create("errors"), "w+b") as errors:
        process = _start(arguments, directory, environment, subprocess.DEVNULL, subprocess.PIPE, errors)
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


def with_settings(environment: Mapping[str, str], settings: Mapping[str, str]) -> dict[str, str]:
    """Return an environment with settings of git added to its own. A setting may be secret, so it is no argument."""
    count = int(environment.get("GIT_CONFIG_COUNT", "0"))
    added = {
        variable: value
        for index, setting in enumerate(settings.items(), count)
        for variable, value in zip((f"GIT_CONFIG_KEY_{index}", f"GIT_CONFIG_VALUE_{index}"), setting, strict=True)
    }
    return {**environment, **added, "GIT_CONFIG_COUNT": str(count + len(settings))}


def redact(text: str) -> str:
    """Return a text without the user names and passwords of the URLs in it.

    A password may hold `@` and `/`, so everything up to the last `@` of a URL is removed.
    """
    return re.sub(r"://\S*@", "://***@", text)


def _start(
    arguments: tuple[str, ...],
    directory: Path,
    environment: Mapping[str, str] | None,
    source: int | IO[bytes],
    output: int | IO[bytes],
    errors: int | IO[bytes],
) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(
            ["git", *arguments],
            cwd=directory,
            env={**_environment(), **(environment or {})},
            stdin=source,
            stdout=output,
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
        **clean,
        "GIT_SSH_COMMAND": ssh_command(clean),
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
    if process.stdout is not None:
        process.stdout.close()


def _memory_file(content: bytes = b"") -> IO[bytes]:
    """Return a file in memory. A pipe would have to be read while git runs, and a disk may be full."""
    file = os.fdopen(os.memfd_create("git"), "w+b")
    file.write(content)
    file.seek(0)
    return file


def _content(file: IO[bytes]) -> bytes:
    file.seek(0)
    return file.read()


def _check(process: subprocess.Popen[bytes], error: bytes) -> None:
    if process.returncode != 0:
        raise GitFailed(redact(error.decode(errors="replace").strip()))
