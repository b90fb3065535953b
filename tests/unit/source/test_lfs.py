"""A file that Git LFS keeps elsewhere is in the build context with its content, or is refused with its path."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.base.errors import PenstockError
from stages.source.checkout import GitCheckout
from stages.source.lfs import LfsPointer
from tests.support.repository import Work

CONTENT = bytes(range(256)) * 20
OID = hashlib.sha256(CONTENT).hexdigest()
POINTER = f"version https://git-lfs.github.com/spec/v1\noid sha256:{OID}\nsize {len(CONTENT)}\n"


@pytest.fixture
def work(tmp_path: Path) -> Work:
    work = Work(tmp_path)
    work.commit(POINTER, "app/model, [1].bin")
    return work


@pytest.fixture
def without_lfs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hide git-lfs."""
    git = shutil.which("git")
    assert git is not None
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / "git").symlink_to(git)
    monkeypatch.setenv("PATH", str(programs))


def store(folder: Path) -> None:
    """Put the content where git-lfs keeps it."""
    place = folder / "objects" / OID[:2] / OID[2:4] / OID
    place.parent.mkdir(parents=True)
    place.write_bytes(CONTENT)


def files(
    checkout: GitCheckout, ignored: Callable[[str], bool] = lambda _: False, folder: str = "."
) -> dict[str, bytes]:
    """Return the content of each file of the archive."""
    with checkout.archive(folder, ignored) as stream, tarfile.open(fileobj=stream, mode="r|") as tar:
        return {m.name: file.read() for m in tar if m.isfile() and (file := tar.extractfile(m))}


def opened(work: Work, named: str = "work") -> GitCheckout:
    """Return the newest commit of `main`."""
    repository = work.open(named)
    return repository.checkout(repository.resolve("main"))


@pytest.mark.usefixtures("without_lfs")
def test_a_pointer_without_git_lfs_is_refused(work: Work) -> None:
    """The error has the path and how to go on. A file that is not in the context does not matter."""
    checkout = opened(work)
    with pytest.raises(PenstockError) as caught:
        files(checkout)
    short = checkout.revision.short
    assert caught.value.message == (
        f"app/model, [1].bin of commit {short} is a Git LFS pointer, and git-lfs is not installed"
    )
    assert "git-lfs" in str(caught.value.hint)
    assert ".dockerignore" in str(caught.value.hint)
    assert files(checkout, lambda name: name.endswith(".bin"))["file.txt"] == b"one"


EMPTY = f"version https://git-lfs.github.com/spec/v1\noid sha256:{hashlib.sha256().hexdigest()}\nsize 0\n"


@pytest.mark.usefixtures("without_lfs")
def test_an_empty_file_needs_no_git_lfs(work: Work) -> None:
    """No server and no repository keeps its content."""
    work.commit(EMPTY, "empty.bin")
    assert files(opened(work), lambda name: name.startswith("app"))["empty.bin"] == b""


@pytest.mark.parametrize("folder", ["app", "link"])
def test_git_lfs_is_asked_for_paths_of_the_repository(
    folder: str, work: Work, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A build context may be a folder, or a link to one."""
    (work.path / "link").symlink_to("app")
    work.commit("two")
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin" / "git-lfs"
    program.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/asked\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")
    with pytest.raises(PenstockError, match=r"app/model, \[1\]\.bin of commit \w{7} is a Git LFS pointer"):
        files(opened(work), folder=folder)
    assert "--include=/app/model? ?1?.bin " in (tmp_path / "asked").read_text()


@pytest.mark.usefixtures("without_lfs")
def test_content_that_the_repository_has_needs_no_git_lfs(work: Work) -> None:
    """It is read where git-lfs keeps it."""
    store(work.path / ".git" / "lfs")
    assert files(opened(work)) == {"app/model, [1].bin": CONTENT, "file.txt": b"one"}


@pytest.mark.skipif(shutil.which("git-lfs") is None, reason="git-lfs is not installed")
@pytest.mark.parametrize("named", ["file://{}", "{}"])
def test_git_lfs_fetches_what_is_missing(named: str, work: Work, tmp_path: Path) -> None:
    """From the remote of the repository, by a URL and in a clone that has the pointers only."""
    work.git("clone", "--quiet", "--bare", str(work.path), str(tmp_path / "served.git"))
    store(tmp_path / "served.git" / "lfs")
    if named == "{}":
        environment = {"GIT_LFS_SKIP_SMUDGE": "1", "PATH": "/usr/bin:/bin"}
        subprocess.run(
            ["git", "clone", "--quiet", f"file://{tmp_path}/served.git", str(tmp_path / "clone")],
            env=environment, check=True, capture_output=True,
        )  # fmt: skip
    checkout = opened(work, "clone" if named == "{}" else named.format(tmp_path / "served.git"))
    assert files(checkout)["app/model, [1].bin"] == CONTENT


@pytest.mark.skipif(shutil.which("git-lfs") is None, reason="git-lfs is not installed")
def test_content_that_is_nowhere(work: Work) -> None:
    """The error has the path."""
    with pytest.raises(PenstockError, match=r"app/model, \[1\]\.bin of commit \w{7} is a Git LFS pointer, and its"):
        files(opened(work))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (POINTER, LfsPointer(OID, len(CONTENT))),
        (POINTER.replace("oid", "ext-0-foo sha256:" + "1" * 64 + "\noid"), LfsPointer(OID, len(CONTENT))),
        (POINTER.replace("spec/v1", "spec/v2"), None),
        (POINTER + "more\n", None),
        ("version https://git-lfs.github.com/spec/v1\n" + "x" * 100, None),
    ],
)
def test_what_is_a_pointer(text: str, expected: LfsPointer | None) -> None:
    """As the specification of git-lfs has it; text about pointers is not one."""
    assert LfsPointer.parse(text.encode()) == expected
