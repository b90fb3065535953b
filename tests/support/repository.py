"""A git repository with one commit, and a folder for mirrors beside it."""

from __future__ import annotations

import os
import subprocess
import threading
from pathlib import Path

from stages.source.git import Git
from stages.source.repository import Repository
from tests.support.waiting import COMMAND_TIMEOUT


class Work:
    """A repository that a test commits to. `options` are those of `git init`."""

    def __init__(self, root: Path, *options: str) -> None:
        self.root = root
        self.path = root / "work"
        self.mirrors = root / "mirrors"
        self.cancelled = threading.Event()
        self.mirrors.mkdir()
        self.path.mkdir()
        self.git("init", "--quiet", "--initial-branch=main", *options)
        self.first = self.commit("one")

    def git(self, *arguments: str, cwd: Path | None = None) -> str:
        """Run a git command. Return its output."""
        identity = ("-c", "user.name=Ann", "-c", "user.email=ann@example.com", "-c", "protocol.file.allow=always")
        environment = {k: v for k, v in os.environ.items() if not k.startswith("GIT_")}
        return subprocess.run(
            ["git", *identity, *arguments],
            cwd=cwd or self.path,
            check=True,
            capture_output=True,
            text=True,
            env=environment,
            timeout=COMMAND_TIMEOUT,
        ).stdout.strip()

    def commit(self, content: str, name: str = "file.txt", cwd: Path | None = None) -> str:
        """Write a file and commit it, by default in the checkout. Return the commit's id."""
        path = (cwd or self.path) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
        self.git("add", "--all", cwd=cwd)
        self.git("commit", "--quiet", "-m", f"Say {content}", cwd=cwd)
        return self.git("rev-parse", "HEAD", cwd=cwd)

    def worktree(self, *options: str) -> Path:
        """Add a linked worktree. Return its path."""
        place = self.root / "linked"
        self.git("worktree", "add", "--quiet", *options, str(place))
        return place

    def open(self, named: str = "work") -> Repository:
        """Return the repository as a pipeline opens it."""
        self.told: list[str] = []
        return Repository(named, self.root, self.mirrors, self.told.append, self.cancelled)

    @property
    def reader(self) -> Git:
        """Return git as the source stage uses it."""
        return Git(self.path)
