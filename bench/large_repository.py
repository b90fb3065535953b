"""A very large repository, which reveals costs that grow with its files or refs."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

FILES, REFS, FOLDER = 100_000, 50_000, 1000
_PERSON = "Test <test@example.com> 1700000000 +0000"


def fill(directory: Path, files: int = FILES, refs: int = REFS) -> None:
    """Add files in one commit, and equal numbers of branches and tags. Checks the commit out."""
    branch = _git(directory, "symbolic-ref", "HEAD").strip()
    subprocess.run(
        ["git", "fast-import", "--quiet", "--force"],
        cwd=directory,
        input="".join(_commands(branch, files, refs)).encode(),
        check=True,
        env={k: v for k, v in os.environ.items() if not k.startswith("GIT_")},
    )
    _git(directory, "reset", "--quiet", "--hard")


def _commands(branch: str, files: int, refs: int) -> Iterator[str]:
    yield f"commit {branch}\nmark :1\ncommitter {_PERSON}\n{_data('Many files')}from {branch}^0\n"
    for number in range(files):
        yield f"M 100644 inline bulk/{number // FOLDER}/{number}.txt\n{_data(f'{number}')}"
    for number in range(refs // 2):
        yield f"reset refs/heads/topic/{number // FOLDER}/{number}\nfrom :1\n"
        yield f"reset refs/tags/v{number}\nfrom :1\n"


def _data(text: str) -> str:
    return f"data {len(text)}\n{text}\n"


def _git(directory: Path, *arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=directory, check=True, capture_output=True, text=True).stdout
