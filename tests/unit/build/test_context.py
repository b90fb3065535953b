"""The build context: the commit's files, without what .dockerignore names, the same every time."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import IO

import pytest

from pipeline.api import Revision
from pipeline.engine.docker.ignore import DockerIgnore
from stages.build.context import build_context

COMMITTED = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


class Files:
    """A commit with files that the test names."""

    revision = Revision("a" * 40, "main", "Ann", "Say", COMMITTED, "/srv/a.git")

    def __init__(self, **files: bytes) -> None:
        self.files = files

    def tree(self, path: str) -> str:
        return "t" * 40

    def read(self, path: str) -> bytes | None:
        return self.files.get(path)

    @contextmanager
    def archive(self, path: str) -> Iterator[IO[bytes]]:
        content = io.BytesIO()
        with tarfile.open(fileobj=content, mode="w") as tar:
            for name, data in self.files.items():
                member = tarfile.TarInfo(name)
                member.size, member.mode, member.uid = len(data), 0o755 if name.endswith(".sh") else 0o644, 1000
                tar.addfile(member, io.BytesIO(data))
            link = tarfile.TarInfo("link")
            link.type, link.linkname = tarfile.SYMTYPE, "app.py"
            tar.addfile(link)
        content.seek(0)
        yield content


def context(files: dict[str, bytes], ignore: str | None = None) -> list[tarfile.TarInfo]:
    with (
        build_context(Files(**files), ".", "Dockerfile", DockerIgnore(ignore or "").excludes, 10**9) as file,
        tarfile.open(fileobj=file, mode="r|") as tar,
    ):
        return list(tar)


def test_every_file_has_the_time_of_the_commit_and_no_owner() -> None:
    """The builder's cache looks at both, and a checkout of somebody else has others."""
    members = context({"app.py": b"1", "run.sh": b"2"})
    assert {(m.mtime, m.uid, m.uname) for m in members} == {(int(COMMITTED.timestamp()), 0, "")}
    assert [m.mode for m in members if m.isfile()] == [0o644, 0o755]
    assert next(m for m in members if m.issym()).linkname == "app.py"


@pytest.mark.parametrize(
    ("ignore", "left"),
    [
        (None, ["Dockerfile", "app.py", "docs/a.md", "docs/b.txt", "link"]),
        ("docs", ["Dockerfile", "app.py", "link"]),
        ("*.py\n# a comment\n\n", ["Dockerfile", "docs/a.md", "docs/b.txt", "link"]),
        ("docs/*\n!docs/a.md", ["Dockerfile", "app.py", "docs/a.md", "link"]),
        ("**/*.txt", ["Dockerfile", "app.py", "docs/a.md", "link"]),
        ("*", ["Dockerfile"]),
        ("\ufeffdocs", ["Dockerfile", "app.py", "link"]),
    ],
)
def test_dockerignore(ignore: str | None, left: list[str]) -> None:
    """As the docker command has it; the Dockerfile itself is always sent."""
    files = {"Dockerfile": b"", "app.py": b"", "docs/a.md": b"", "docs/b.txt": b""}
    assert [m.name for m in context(files, ignore)] == left


@pytest.mark.parametrize(
    ("ignore", "left"),
    [
        ("**/keys", ["a/b/app.py"]),
        ("**/keys\n!**/public", ["a/b/app.py"]),
        ("a/keys/*\n!a/keys/public\n**/deep", ["a/b/app.py", "a/keys/public/x", "keys/k.pem"]),
        ("a/*/app.py", ["a/b/keys/deep/k.pem", "a/keys/public/x", "keys/k.pem"]),
    ],
)
def test_dockerignore_means_folders_at_any_depth(ignore: str, left: list[str]) -> None:
    """Files in an ignored folder are ignored at any depth."""
    names = ["a/b/app.py", "a/b/keys/deep/k.pem", "a/keys/public/x", "keys/k.pem"]
    found = [m.name for m in context(dict.fromkeys(["Dockerfile", *names], b""), ignore)]
    assert set(found) & set(names) == set(left) & set(names)
