"""A shallow or partial clone, and a repository with SHA-256 ids, run like any other (dokku#4405, libgit2sharp#2149)."""

from __future__ import annotations

import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.base.errors import PenstockError
from stages.source.checkout import GitCheckout
from tests.support.repository import Work


@pytest.fixture
def work(tmp_path: Path) -> Work:
    work = Work(tmp_path)
    for content in ("two", "three", "four", "five"):
        work.commit(content)
    return work


def cloned(work: Work, *options: str) -> Path:
    """Clone over a URL, since git copies a path as a whole."""
    work.git("clone", "--quiet", *options, f"file://{work.path}", str(work.root / "clone"))
    return work.root / "clone"


def names(checkout: GitCheckout) -> list[str]:
    """Return the files of the archive."""
    with checkout.archive(".") as stream, tarfile.open(fileobj=stream, mode="r|") as tar:
        return [member.name for member in tar if member.isfile()]


@pytest.mark.parametrize(
    "options",
    [("--depth=1",), ("--depth=3",), ("--shallow-since=2001-01-01",), ("--depth=1", "--no-single-branch")],
)
@pytest.mark.parametrize("place", ["path", "url", "bare"])
def test_a_shallow_clone_is_run(options: tuple[str, ...], place: str, work: Work) -> None:
    """The branch, `HEAD` and the full id lead to the commit, by its path and by a URL."""
    path = cloned(work, *options, *(["--bare"] if place == "bare" else []))
    repository = work.open(f"file://{path}" if place == "url" else str(path))
    newest = work.git("rev-parse", "HEAD")
    wanted = ["main", newest, *(["HEAD"] if place != "url" else [])]
    assert [repository.resolve(name).sha for name in wanted] == [newest] * len(wanted)
    assert names(repository.checkout(repository.resolve("main"))) == ["file.txt"]
    assert repository.heads(["refs/heads/main"]) == {"refs/heads/main": newest}
    assert [revision.subject for revision in repository.commits(None, newest)] == ["Say five"]


def test_a_detached_head_without_branches(work: Work) -> None:
    """A checkout as CI services make it has only its commit. An unknown branch is not an empty repository."""
    path = work.root / "clone"
    newest = work.git("rev-parse", "HEAD")
    work.git("init", "--quiet", str(path))
    work.git("fetch", "--quiet", "--depth=1", f"file://{work.path}", newest, cwd=path)
    work.git("checkout", "--quiet", "--detach", newest, cwd=path)
    repository = work.open(str(path))
    assert repository.resolve("HEAD").sha == repository.resolve(newest).sha == newest
    with pytest.raises(PenstockError) as caught:
        repository.resolve("main")
    assert caught.value.message.startswith("there is no branch, tag or commit main in ")
    assert "pipeline run HEAD" in str(caught.value.hint)


def test_a_commit_in_a_shallow_clone(work: Work) -> None:
    """New commits in it are found, with those between."""
    path = cloned(work, "--depth=1")
    repository = work.open(str(path))
    first = repository.resolve("main").sha
    second = work.commit("six", cwd=path)
    third = work.commit("seven", cwd=path)
    assert [revision.sha for revision in repository.commits(first, third)] == [second, third]
    assert repository.commit(third, "main").sha == third
    assert repository.changed(first, repository.commit(third, "main")) == ["file.txt"]


def test_a_clone_that_is_deepened_later(work: Work) -> None:
    """The mirror gets the older commits too, in two steps, and is complete when the clone is."""
    path = cloned(work, "--depth=1")
    repository = work.open(str(path))
    older = [work.git("rev-parse", f"HEAD~{back}") for back in (2, 4)]
    newest = repository.resolve("main")
    assert repository.changed(older[0], newest) is None
    for sha, options in zip(older, (("--depth=3",), ("--unshallow",)), strict=True):
        work.git("fetch", "--quiet", *options, cwd=path)
        assert repository.changed(sha, repository.resolve("main")) == ["file.txt"]
    (mirror,) = work.mirrors.glob("*.git")
    assert not (mirror / "shallow").exists()
    assert work.told == []


def test_a_full_clone_that_becomes_shallow(work: Work) -> None:
    """The repository is cloned again with less history at the same path, and its new commits are found."""
    path = cloned(work)
    work.open(str(path)).resolve("main")
    shutil.rmtree(path)
    newest = work.commit("six")
    assert work.open(str(cloned(work, "--depth=1"))).resolve("main").sha == newest


@pytest.mark.parametrize("options", [("--filter=blob:none",), ("--filter=tree:0",), ("--filter=blob:none", "--bare")])
def test_a_partial_clone_is_run(options: tuple[str, ...], work: Work) -> None:
    """The objects that it lacks are fetched from its remote, and the mirror is not called damaged."""
    work.git("config", "uploadpack.allowFilter", "true")
    repository = work.open(str(cloned(work, *options)))
    for _ in range(2):
        assert names(repository.checkout(repository.resolve("main"))) == ["file.txt"]
    assert work.told == []


@pytest.mark.parametrize("place", ["path", "url"])
def test_a_partial_clone_whose_remote_is_gone(place: str, work: Work) -> None:
    """The error says what the repository is, and the mirror stays."""
    work.git("config", "uploadpack.allowFilter", "true")
    path = cloned(work, "--filter=blob:none", "--bare")
    work.path.rename(work.root / "moved")
    repository = work.open(f"file://{path}" if place == "url" else str(path))
    with pytest.raises(PenstockError, match="it is a partial clone, and objects that it lacks"):
        repository.resolve("main")
    assert work.told == []


def test_damage_of_the_repository_is_not_taken_for_the_mirrors(work: Work) -> None:
    """A repository that lacks an object fails each time, and the mirror keeps what it has."""
    repository = work.open()
    first = repository.resolve("main")
    newest = work.commit("six")
    blob = work.git("rev-parse", f"{newest}:file.txt")
    (work.path / ".git" / "objects" / blob[:2] / blob[2:]).unlink()
    for _ in range(2):
        with pytest.raises(PenstockError, match="cannot fetch"):
            work.open().resolve("main")
    assert work.told == []
    assert repository.checkout(first).read("file.txt") == b"five"


@pytest.fixture(params=["path", "url"])
def place(request: pytest.FixtureRequest) -> Callable[[Work], str]:
    """Return how a repository is named."""
    return lambda work: str(work.path) if request.param == "path" else f"file://{work.path}"


def test_a_repository_with_sha_256(tmp_path: Path, place: Callable[[Work], str]) -> None:
    """The mirror has the format of the repository, and ids of 64 digits are known (doco-cd#1097)."""
    work = Work(tmp_path, "--object-format=sha256")
    assert len(work.first) == 64
    repository = work.open(place(work))
    wanted = ("main", work.first, work.first[:10])
    assert [repository.resolve(name).sha for name in wanted] == [work.first] * 3
    checkout = repository.checkout(repository.resolve("main"))
    assert checkout.read("file.txt") == b"one"
    assert names(checkout) == ["file.txt"]
    assert repository.heads(["refs/heads/main"]) == {"refs/heads/main": work.first}
    second = work.commit("two")
    assert [revision.sha for revision in repository.commits(work.first, second)] == [second]
    work.git("checkout", "--quiet", "--detach")
    third = work.commit("three")
    assert repository.resolve(third).sha == third


def test_the_default_format_of_the_environment_does_not_matter(
    tmp_path: Path, place: Callable[[Work], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """`GIT_DEFAULT_HASH` is for new repositories of the user, not for mirrors."""
    work = Work(tmp_path)
    monkeypatch.setenv("GIT_DEFAULT_HASH", "sha256")
    assert work.open(place(work)).resolve("main").sha == work.first
    (mirror,) = work.mirrors.glob("*.git")
    assert work.git("rev-parse", "--show-object-format", cwd=mirror) == "sha1"


def test_a_repository_that_is_made_again_with_other_ids(tmp_path: Path) -> None:
    """The mirror is replaced."""
    work = Work(tmp_path)
    work.open().resolve("main")
    shutil.rmtree(work.path)
    work.path.mkdir()
    work.git("init", "--quiet", "--initial-branch=main", "--object-format=sha256")
    newest = work.commit("one")
    assert work.open().resolve("main").sha == newest
    assert len(work.told) == 1
