"""A repository with the files of this example, and the shell in which the commands run."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

SOURCE = Path(__file__).resolve().parents[1]
"""The folder of this example."""
DEADLINE = 60.0
_GIT = {
    "GIT_CONFIG_GLOBAL": "/dev/null",
    **{
        f"GIT_{role}_{key}": value
        for role in ("AUTHOR", "COMMITTER")
        for key, value in (("NAME", "Ada"), ("EMAIL", "ada@example.com"))
    },
}


class CommandFailed(Exception):
    """A command has failed, or what it was to bring about has not happened in time."""


class Shell:
    """A shell in the repository. `environment` is added to that of this process. `file` is the pipeline's file."""

    def __init__(self, folder: Path, environment: dict[str, str], file: str) -> None:
        self.repository = folder / "repository"
        self.home = folder / "home"
        programs = f"{Path(sys.executable).parent}:{environment.get('PATH', os.environ['PATH'])}"
        self._environment = {
            **os.environ,
            **environment,
            **_GIT,
            "PATH": programs,
            "PENSTOCK_HOME": str(self.home),
            "NO_COLOR": "1",
        }
        shutil.copytree(SOURCE, self.repository, ignore=shutil.ignore_patterns("play", "*.md", "*.yaml", "__pycache__"))
        shutil.copy(SOURCE / file, self.repository / "pipeline.yaml")
        self.quiet("git init --quiet --initial-branch=main && git add --all && git commit --quiet -m 'Version 1'")

    def run(self, command: str, *, last: int = 0) -> str:
        """Print a command, run it, print its output or its `last` lines, and return it. Raises `CommandFailed`."""
        print(f"$ {command}", flush=True)
        done = self._start(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        text, _ = done.communicate()
        print("\n".join(text.splitlines()[-last:]), flush=True)
        if done.returncode:
            raise CommandFailed(f"exit code {done.returncode}: {command}")
        return text

    def quiet(self, command: str) -> str:
        """Run a command without showing it, and return its output. Raises `CommandFailed`."""
        done = self._start(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        text, _ = done.communicate()
        if done.returncode:
            raise CommandFailed(f"exit code {done.returncode}: {command}\n{text}")
        return text

    def commit(self, version: str) -> None:
        """Commit a version of the application."""
        self.run(f"echo {version} >app/version.txt && git commit --quiet --all -m 'Version {version}'")

    @contextmanager
    def daemon(self) -> Iterator[None]:
        """Run `pipeline serve` until the end of the block."""
        print("$ pipeline serve &", flush=True)
        log = (self.repository.parent / "serve.log").open("w")
        with log:
            process = self._start("exec pipeline serve", stdout=log, stderr=subprocess.STDOUT)
        try:
            yield
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait()

    def until(self, condition: Callable[[], bool], what: str) -> None:
        """Wait for a condition. Raises `CommandFailed` if it does not hold within a minute."""
        deadline = time.monotonic() + DEADLINE
        while not condition():
            if time.monotonic() > deadline:
                raise CommandFailed(f"not within {DEADLINE:.0f} s: {what}")
            time.sleep(0.2)

    def _start(self, command: str, **more: object) -> subprocess.Popen[str]:
        words = ["bash", "-c", command]
        return subprocess.Popen(words, cwd=self.repository, env=self._environment, text=True, **more)  # type: ignore[call-overload,no-any-return]
