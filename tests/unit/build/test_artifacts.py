"""Artifacts out of tars that nobody vouches for."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest

from stages.build.artifacts import Artifacts, CopyResult


def tar(*members: tarfile.TarInfo | tuple[str, bytes]) -> list[bytes]:
    """A tar of files, and of whatever else, in chunks of a size that fits nothing."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for member in members:
            if isinstance(member, tarfile.TarInfo):
                archive.addfile(member)
                continue
            info = tarfile.TarInfo(member[0])
            info.size = len(member[1])
            archive.addfile(info, io.BytesIO(member[1]))
    content = stream.getvalue()
    return [content[start : start + 777] for start in range(0, len(content), 777)]


def special(name: str, kind: bytes, link: str = "") -> tarfile.TarInfo:
    """A member that is no file."""
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    return info


def files(folder: Path) -> dict[str, bytes]:
    """Every file below `folder`."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_folder_and_a_file(tmp_path: Path) -> None:
    """Each is kept under the name that it had in the container."""
    artifacts = Artifacts(tmp_path / "kept")
    folder = tar(
        special("out", tarfile.DIRTYPE), ("out/a", b"1" * 5000), special("out/b", tarfile.DIRTYPE), ("out/b/c", b"")
    )
    assert artifacts.keep("/srv/out", iter(folder)) == CopyResult(files=2, size=5000)
    assert artifacts.keep("/tmp/out", iter(tar(("out", b"22")))) == CopyResult(files=1, size=2)
    assert files(tmp_path / "kept") == {"srv/out/a": b"1" * 5000, "srv/out/b/c": b"", "tmp/out": b"22"}
    assert (tmp_path / "kept/srv/out/a").stat().st_mode & 0o077 == 0


def test_a_further_try_has_a_folder_of_its_own(tmp_path: Path) -> None:
    """The files of the first attempt stay."""
    artifacts = Artifacts(tmp_path)
    artifacts.keep("/a", iter(tar(("a", b"1"))))
    artifacts.keep("/a", iter(tar(("a", b"2"))), attempt=2)
    assert files(tmp_path) == {"a": b"1", "try-2/a": b"2"}


@pytest.mark.parametrize(
    "hostile",
    [
        ("../outside", b"x"),
        ("out/../../outside", b"x"),
        ("/outside", b"x"),
        ("out//outside", b"x"),
        special("out/device", tarfile.CHRTYPE),
        special("out/pipe", tarfile.FIFOTYPE),
        special("out/link", tarfile.SYMTYPE, "/etc"),
        special("out/hard", tarfile.LNKTYPE, "/etc/passwd"),
        ("out/" + "n" * 300, b"a name that is too long"),
        ("out/good/below", b"a folder that is a file"),
    ],
)
def test_what_is_hostile_is_left_out(hostile: tarfile.TarInfo | tuple[str, bytes], tmp_path: Path) -> None:
    """It is counted, what comes after it is kept, and nothing is written anywhere else."""
    kept = Artifacts(tmp_path / "kept").keep("/out", iter(tar(("out/good", b"1"), hostile, ("out/after", b"2"))))
    assert kept == CopyResult(files=2, size=2, left_out=1)
    assert files(tmp_path) == {"kept/out/good": b"1", "kept/out/after": b"2"}
    assert not any(path.is_symlink() for path in tmp_path.rglob("*"))


def test_a_link_does_not_lead_what_follows_it_away(tmp_path: Path) -> None:
    """The folder that it would lead to stays as it was."""
    (tmp_path / "outside").mkdir()
    link = special("out/link", tarfile.SYMTYPE, str(tmp_path / "outside"))
    kept = Artifacts(tmp_path / "kept").keep("/out", iter(tar(link, ("out/link/file", b"1"))))
    assert kept == CopyResult(files=1, size=1, left_out=1)
    assert files(tmp_path) == {"kept/out/link/file": b"1"}


def test_a_name_is_not_written_twice(tmp_path: Path) -> None:
    """The first one stays."""
    kept = Artifacts(tmp_path).keep("/out", iter(tar(("out/a", b"1"), ("out/a", b"2"))))
    assert kept == CopyResult(files=1, size=1, left_out=1)
    assert files(tmp_path) == {"out/a": b"1"}


def test_the_size_of_a_run_is_capped(tmp_path: Path) -> None:
    """Over all its paths: what fits is kept, and of a file nothing or all."""
    artifacts = Artifacts(tmp_path, size_limit=10)
    assert artifacts.keep("/a", iter(tar(("a/1", b"x" * 6), ("a/2", b"x" * 5), ("a/3", b"x")))) == CopyResult(
        1, 6, cut=True
    )
    assert artifacts.keep("/b", iter(tar(("b", b"x" * 4)))) == CopyResult(1, 4)
    assert artifacts.keep("/c", iter(tar(("c", b"x")))) == CopyResult(cut=True)
    assert set(files(tmp_path)) == {"a/1", "b"}


def test_the_number_of_files_is_capped(tmp_path: Path) -> None:
    """Empty ones too take room on a disk."""
    many = tar(*((f"a/{number}", b"") for number in range(5)))
    assert Artifacts(tmp_path, files_limit=3).keep("/a", iter(many)) == CopyResult(3, cut=True)


def test_what_is_not_there(tmp_path: Path) -> None:
    """Nothing comes, nothing is made."""
    assert Artifacts(tmp_path / "kept").keep("/a", iter(())) == CopyResult()
    assert not (tmp_path / "kept").exists()
