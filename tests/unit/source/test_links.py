"""Symbolic links of a commit are followed within it, and refused if they lead out of it (buildkit#739, flyctl#1213)."""

from __future__ import annotations

import tarfile
from pathlib import Path

import pytest

from pipeline.base.errors import StageFailed
from stages.source.checkout import GitCheckout
from tests.support.repository import Work


@pytest.fixture
def work(tmp_path: Path) -> Work:
    return Work(tmp_path)


def linked(work: Work, **links: str) -> GitCheckout:
    """Commit symbolic links beside `docker/Dockerfile`, and return the commit."""
    for name, target in links.items():
        (work.path / name).symlink_to(target)
    work.commit("FROM scratch", "docker/Dockerfile")
    repository = work.open()
    return repository.checkout(repository.resolve("main"))


@pytest.mark.parametrize(
    "links",
    [
        {"Dockerfile": "docker/Dockerfile"},
        {"Dockerfile": "./docker/../docker/Dockerfile"},
        {"Dockerfile": "second", "second": "third", "third": "docker/Dockerfile"},
        {"folder": "docker", "Dockerfile": "folder/Dockerfile"},
    ],
)
def test_a_link_in_the_commit_is_followed(links: dict[str, str], work: Work) -> None:
    """Through further links, and through folders that are links."""
    assert linked(work, **links).read("Dockerfile") == b"FROM scratch"


def test_a_folder_that_is_a_link(work: Work) -> None:
    """It can be the build context, and files are read through it."""
    checkout = linked(work, context="docker")
    assert checkout.tree("context") == checkout.tree("docker")
    assert checkout.read("context/Dockerfile") == b"FROM scratch"
    with checkout.archive("context") as stream, tarfile.open(fileobj=stream, mode="r|") as tar:
        assert [member.name for member in tar] == ["Dockerfile"]


@pytest.mark.parametrize("path", ["context/nothing", "context/folder/nothing", "context/Dockerfile/nothing"])
def test_a_missing_file_below_a_link_is_missing(path: str, work: Work) -> None:
    """The link itself leads somewhere."""
    assert linked(work, context="docker").read(path) is None


@pytest.mark.parametrize(
    ("links", "reason"),
    [
        ({"Dockerfile": "/etc/passwd"}, "leads out of the repository"),
        ({"Dockerfile": "../../etc/passwd"}, "leads out of the repository"),
        ({"Dockerfile": "first", "first": "/etc/passwd"}, "leads out of the repository"),
        ({"Dockerfile": "Dockerfile"}, "leads to itself"),
        ({"Dockerfile": "first", "first": "Dockerfile"}, "leads to itself"),
        ({"Dockerfile": "nowhere"}, "leads to nothing in the repository"),
        ({"Dockerfile": "file.txt/x"}, "leads to nothing in the repository"),
        ({"Dockerfile": ".git/config"}, "leads to nothing in the repository"),
    ],
)
def test_a_link_that_leads_nowhere_is_refused(links: dict[str, str], reason: str, work: Work) -> None:
    """The error has the path and where the link leads."""
    checkout = linked(work, **links)
    with pytest.raises(StageFailed) as caught:
        checkout.read("Dockerfile")
    assert caught.value.message == f"Dockerfile of commit {checkout.revision.short} is a symbolic link that {reason}"


def test_gitmodules_as_a_link(work: Work, tmp_path: Path) -> None:
    """It is read where it leads."""
    (tmp_path / "lib").mkdir()
    lib = Work(tmp_path / "lib")
    work.git("submodule", "--quiet", "add", str(lib.path), "lib")
    (work.path / ".gitmodules").rename(work.path / "modules")
    checkout = linked(work, **{".gitmodules": "modules"})
    assert checkout.read("lib/file.txt") == b"one"


def test_a_missing_object_does_not_matter_to_other_files(work: Work) -> None:
    """Only a file whose content is lost cannot be read."""
    (work.path / "big.bin").write_text("lost")
    checkout = linked(work)
    blob = work.git("rev-parse", "HEAD:big.bin").strip()
    (checkout.mirror.git.directory / "objects" / blob[:2] / blob[2:]).unlink()
    assert checkout.read("docker/Dockerfile") == b"FROM scratch"
    with pytest.raises(StageFailed, match="cannot read the mirror"):
        checkout.read("big.bin")
