"""The build context: the commit's files, without what .dockerignore names, the same every time."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

import pytest

from pipeline.api import Revision
from pipeline.base.errors import StageFailed
from pipeline.engine.docker.context_tar import context_tar
from pipeline.engine.docker.ignore import DockerIgnore
from stages.build.context import build_context

COMMITTED = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


class Files:
    """A commit with files that the test names."""

    revision = Revision("a" * 40, "main", "Ann", "Say", COMMITTED, "/srv/a.git")

    def __init__(self, **files: bytes) -> None:
        self.files = files
        self.entries: list[tuple[str, bytes | None]] = [*files.items(), ("link", None)]

    def tree(self, path: str) -> str:
        return "t" * 40

    def read(self, path: str) -> bytes | None:
        return self.files.get(path)

    @contextmanager
    def archive(self, path: str, ignored: Callable[[str], bool]) -> Iterator[IO[bytes]]:
        content = io.BytesIO()
        with tarfile.open(fileobj=content, mode="w") as tar:
            for name, data in self.entries:
                member = tarfile.TarInfo(name)
                if data is None:
                    member.type, member.linkname = tarfile.SYMTYPE, "app.py"
                else:
                    member.size, member.mode, member.uid = len(data), 0o755 if name.endswith(".sh") else 0o644, 1000
                tar.addfile(member, io.BytesIO(data or b""))
        content.seek(0)
        yield content


@contextmanager
def extracted(folder: Path, files: dict[str, bytes], ignore: str = "", limit: int = 10**9) -> Iterator[Path]:
    ignored = DockerIgnore(ignore).excludes
    with build_context(Files(**files), ".", folder / "context", lambda: ignored, limit) as context:
        yield context


def sent(folder: Path, files: dict[str, bytes], ignore: str | None = None) -> list[tarfile.TarInfo]:
    """Return what the classic builder gets, by name, without folders."""
    with (
        extracted(folder, files) as context,
        context_tar(context, {"Dockerfile"}, DockerIgnore(ignore or "").excludes) as content,
        tarfile.open(fileobj=content, mode="r|") as tar,
    ):
        return sorted((member for member in tar if not member.isdir()), key=lambda member: member.name)


def test_the_folder_is_the_commit(tmp_path: Path) -> None:
    """Files have their mode and the time of the commit, links are links, and nothing is left afterwards."""
    with extracted(tmp_path, {"app.py": b"1", "run.sh": b"2", "docs/deep/a.md": b"3"}) as folder:
        found = {str(path.relative_to(folder)): path.lstat() for path in folder.rglob("*")}
        assert (folder / "docs/deep/a.md").read_bytes() == b"3"
        assert (folder / "link").readlink() == Path("app.py")
    assert {name: oct(status.st_mode) for name, status in found.items()} == {
        "app.py": "0o100644", "run.sh": "0o100755", "docs": "0o40755", "docs/deep": "0o40755",
        "docs/deep/a.md": "0o100644", "link": "0o120777",
    }  # fmt: skip
    assert {status.st_mtime for status in found.values()} == {COMMITTED.timestamp()}
    assert list(tmp_path.iterdir()) == []


def test_a_context_above_its_limit_is_refused(tmp_path: Path) -> None:
    """Ignored files do not count, and the error names the file that was too much."""
    files = {"a": b"x" * 60, "b": b"x" * 60}
    for ignored in files:
        with extracted(tmp_path, files, ignored, 100) as folder:
            assert (folder / ignored).exists()
    with pytest.raises(StageFailed, match="'b' has 60 bytes"), extracted(tmp_path, files, "", 100):
        pass
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["../a", "a/../../b", "link/passwd", "app.py/x", "app.py", "a" * 300, "a//b", "./a"])
def test_a_crafted_commit_writes_nothing_elsewhere(tmp_path: Path, name: str) -> None:
    """A path that leaves the folder, leads through a link or a file, or is there twice is refused."""
    commit = Files()
    commit.entries = [("link", None), ("app.py", b""), (name, b"x")]
    with pytest.raises(StageFailed), build_context(commit, ".", tmp_path / "context", lambda: lambda _: False, 10**9):
        pass
    assert list(tmp_path.iterdir()) == []


def test_what_is_sent_has_the_time_of_the_commit_and_no_owner(tmp_path: Path) -> None:
    """The same commit makes the same image, whoever checks it out."""
    members = sent(tmp_path, {"app.py": b"1", "run.sh": b"2"})
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
def test_dockerignore(tmp_path: Path, ignore: str | None, left: list[str]) -> None:
    """As the docker command has it; the Dockerfile itself is always sent."""
    files = {"Dockerfile": b"", "app.py": b"", "docs/a.md": b"", "docs/b.txt": b""}
    assert [m.name for m in sent(tmp_path, files, ignore)] == left


@pytest.mark.parametrize(
    ("ignore", "left"),
    [
        ("**/keys", ["a/b/app.py"]),
        ("**/keys\n!**/public", ["a/b/app.py"]),
        ("a/keys/*\n!a/keys/public\n**/deep", ["a/b/app.py", "a/keys/public/x", "keys/k.pem"]),
        ("a/*/app.py", ["a/b/keys/deep/k.pem", "a/keys/public/x", "keys/k.pem"]),
    ],
)
def test_dockerignore_means_folders_at_any_depth(tmp_path: Path, ignore: str, left: list[str]) -> None:
    """Files in an ignored folder are ignored at any depth."""
    names = ["a/b/app.py", "a/b/keys/deep/k.pem", "a/keys/public/x", "keys/k.pem"]
    found = [m.name for m in sent(tmp_path, dict.fromkeys(["Dockerfile", *names], b""), ignore)]
    assert set(found) & set(names) == set(left) & set(names)
