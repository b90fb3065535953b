"""A commit is named as git names it; a branch comes before a tag."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.base.errors import ConfigError
from tests.support.repository import Work


@pytest.fixture
def work(tmp_path: Path) -> Work:
    """Two commits on `main`, tagged `v1` and `v2`."""
    work = Work(tmp_path)
    work.git("tag", "v1")
    work.commit("two")
    work.git("tag", "-a", "v2", "-m", "Second")
    return work


FIRST = ["main~1", "main^", "refs/heads/main~1", "v1", "v1^{}", "v1^{commit}", "refs/tags/v1", "tags/v1", "v2~1"]
SECOND = ["main", "refs/heads/main", "heads/main", "refs/tags/v2", "v2^{}", "main^0", ":/Say two", "v1-1-g{short}"]


@pytest.mark.parametrize("name", FIRST + SECOND)
@pytest.mark.parametrize("place", ["path", "url"])
def test_a_revision_as_git_accepts_it(name: str, place: str, work: Work) -> None:
    """Full refs, ancestors, peeled tags, a search and a description, in a local repository and behind a URL."""
    second = work.git("rev-parse", "HEAD")
    repository = work.open(str(work.path) if place == "path" else f"file://{work.path}")
    expected = work.first if name in FIRST else second
    assert repository.resolve(name.format(short=second[:7]) if "{short}" in name else name).sha == expected


def test_an_id_in_upper_case(work: Work) -> None:
    """Long or short."""
    assert work.open().resolve(work.first.upper()).sha == work.first
    assert work.open().resolve(work.first[:9].upper()).sha == work.first


@pytest.mark.parametrize(
    ("name", "back"), [("@", 0), ("HEAD", 0), ("HEAD~1", 1), ("@^", 1), ("HEAD^0", 0), ("@~1^{commit}", 1)]
)
def test_what_is_checked_out(name: str, back: int, work: Work) -> None:
    """`HEAD` and `@` mean the same, and the commits before them can be named."""
    work.git("checkout", "--quiet", "-b", "topic")
    work.commit("three")
    assert work.open().resolve(name).sha == work.git("rev-parse", f"HEAD~{back}")


def test_what_only_the_repository_knows(work: Work) -> None:
    """Its reflog, its upstream and its remote branches."""
    path = work.root / "clone"
    work.git("clone", "--quiet", str(work.path), str(path))
    upstream = work.git("rev-parse", "HEAD")
    work.commit("local", cwd=path)
    repository = work.open(str(path))
    for name in ("@{upstream}", "HEAD@{u}", "main@{u}", "origin/main", "main@{1}", "refs/remotes/origin/main"):
        assert repository.resolve(name).sha == upstream


@pytest.mark.parametrize("place", ["path", "url"])
def test_a_ref_of_a_pull_request(place: str, work: Work) -> None:
    """It is fetched, although it is neither a branch nor a tag."""
    work.git("checkout", "--quiet", "--detach")
    sha = work.commit("proposal")
    work.git("update-ref", "refs/pull/7/head", sha)
    work.git("checkout", "--quiet", "main")
    repository = work.open(str(work.path) if place == "path" else f"file://{work.path}")
    assert repository.resolve("refs/pull/7/head").sha == sha


@pytest.mark.parametrize(
    "name",
    [
        "main..v1",
        "-main",
        "refs/heads/none",
        "main~99",
        "none^{}",
        "HEAD@{9}",
        "v1^{tree}",
        "^main",
        "main^!",
        "main^@",
        "main:file.txt",
        "--all",
        "a\nb",
        "*",
        "abcdef9",
    ],
)
@pytest.mark.parametrize("place", ["path", "url"])
def test_a_name_without_a_commit(name: str, place: str, work: Work) -> None:
    """It is refused with the name."""
    repository = work.open(str(work.path) if place == "path" else f"file://{work.path}")
    with pytest.raises(ConfigError) as caught:
        repository.resolve(name)
    assert (name if name.isprintable() else repr(name)) in caught.value.message
