"""Writers who push to one branch at the same time, each from a clone."""

from __future__ import annotations

import random
import subprocess
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from tests.docker.project import Project
from tests.support.waiting import COMMAND_TIMEOUT

# Each failed push means that another writer's push succeeded, so there are at most as many as commits.
_ATTEMPTS = 1000


class Writer:
    """A clone that pushes. If another writer was faster, it rebases and pushes again."""

    def __init__(self, bare: Path, clone: Path) -> None:
        self._clone = clone
        self._name = clone.name
        subprocess.run(["git", "clone", "--quiet", str(bare), str(clone)], check=True, timeout=COMMAND_TIMEOUT)

    def push(self, number: int) -> None:
        """Push one more commit. Returns when it is on the branch."""
        (self._clone / f"{self._name}.txt").write_text(f"{number}\n")
        self._git("add", "--all")
        self._git("commit", "--quiet", "-m", f"{self._name}: {number}")
        said = ""
        for _ in range(_ATTEMPTS):
            pushed = self._git("push", "--quiet", "origin", "main")
            if pushed.returncode == 0:
                return
            said = pushed.stderr + self._git("pull", "--quiet", "--rebase", "origin", "main").stderr
        raise AssertionError(f"{self._name} never got to push: {said}")

    def _git(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        identity = ("-c", "user.name=Test", "-c", "user.email=test@example.com", "-c", "gc.auto=0")
        command = ["git", *identity, *arguments]
        return subprocess.run(
            command, cwd=self._clone, capture_output=True, text=True, check=False, timeout=COMMAND_TIMEOUT
        )


def share(project: Project) -> tuple[Path, Path]:
    """Return a bare clone of the project's repository and a `pipeline.yaml` outside of it whose source is the clone."""
    bare = project.directory.parent / "bare.git"
    subprocess.run(
        ["git", "clone", "--quiet", "--bare", str(project.directory), str(bare)], check=True, timeout=COMMAND_TIMEOUT
    )
    served = project.directory.parent / "served" / "pipeline.yaml"
    served.parent.mkdir()
    text = (project.directory / "pipeline.yaml").read_text()
    served.write_text(text.replace("name: shop\n", f"name: shop\nsource: {{repository: {bare}}}\n"))
    return bare, served


def burst(bare: Path, folder: Path, commits: int, writers: int, seed: int = 0) -> list[str]:
    """Push `commits` commits by `writers` writers at once. Return all commits of the branch, oldest first."""
    chance = random.Random(seed)
    turns = [chance.randrange(writers) for _ in range(commits)]
    people = [Writer(bare, folder / f"writer{number}") for number in range(writers)]

    def work(mine: int) -> None:
        for number, whose in enumerate(turns):
            if whose == mine:
                people[mine].push(number)

    with ThreadPoolExecutor(writers) as pool:
        list(pool.map(work, range(writers)))
    return line(bare)


def line(repository: Path) -> list[str]:
    """Return the commits of `main` along first parents, oldest first."""
    command = ["git", "rev-list", "--first-parent", "--reverse", "main"]
    return subprocess.run(
        command, cwd=repository, capture_output=True, text=True, check=True, timeout=COMMAND_TIMEOUT
    ).stdout.split()


@contextmanager
def committing(project: Project, pause: float = 1.0) -> Iterator[None]:
    """Commit a new version every `pause` seconds while the block runs."""
    enough = threading.Event()

    def work() -> None:
        version = 1
        while not enough.wait(pause):
            version += 1
            project.commit(str(version))

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        enough.set()
        thread.join()
