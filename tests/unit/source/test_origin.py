"""The places of a repository on this machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from stages.source.origin import LocalOrigin
from tests.support.repository import Work


@pytest.mark.parametrize("name", ["shop", "two\nlines", "ends\n", "true\nsha1"])
@pytest.mark.parametrize("bare", [False, True])
def test_the_places_of_a_repository(name: str, tmp_path: Path, *, bare: bool) -> None:
    """They are right also if the path contains line breaks."""
    folder = tmp_path / name
    folder.mkdir()
    work = Work(folder)
    path = work.path
    if bare:
        path = folder / "bare\ngit"
        work.git("clone", "--quiet", "--bare", str(work.path), str(path))
    origin = LocalOrigin(path)
    directory = path if bare else path / ".git"
    assert (origin.location, origin.directory) == (str(directory), str(directory))
    assert (origin.checkout is None) == bare


def test_the_places_of_a_linked_worktree(tmp_path: Path) -> None:
    """Git's own folder of the worktree is another than that of the repository."""
    work = Work(tmp_path)
    work.git("worktree", "add", "--quiet", "--detach", str(tmp_path / "linked"))
    origin = LocalOrigin(tmp_path / "linked")
    assert origin.location == str(work.path / ".git")
    assert origin.directory == str(work.path / ".git" / "worktrees" / "linked")
    assert origin.checkout is not None
