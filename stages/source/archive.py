"""The tar of a folder, with the content of submodules and LFS files."""

from __future__ import annotations

import tarfile
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING

from pipeline.base.git import GitFailed
from stages.source.lfs import POINTER_SIZES, LfsObjects, LfsPointer

if TYPE_CHECKING:
    from stages.source.checkout import GitCheckout

_IN_MEMORY = 16 * 2**20
_BATCH = 10_000


@dataclass
class _Gaps:
    """Entries without content in the mirror, by path: commits of submodules and pointers of LFS files."""

    submodules: dict[str, str] = field(default_factory=dict)
    pointers: dict[str, LfsPointer] = field(default_factory=dict)


@contextmanager
def filled_archive(checkout: GitCheckout, folder: str, ignored: Callable[[str], bool]) -> Iterator[IO[bytes]]:
    """Yield an uncompressed tar of a folder of a commit.

    Raises `PenstockError` if the content of a submodule or an LFS file is missing, and `GitFailed` if the mirror is
    damaged.
    """
    tree, folder = checkout.tree(folder), checkout.place(folder)
    gaps = _find_gaps(checkout, tree, ignored)
    with checkout.mirror.git.stream("archive", "--format=tar", tree) as stream:
        if not gaps.submodules and not gaps.pointers:
            yield stream
            return
        with tempfile.SpooledTemporaryFile(_IN_MEMORY) as file:
            with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as target:
                _fill(checkout, folder, stream, target, gaps, ignored)
            file.seek(0)
            yield file


def _find_gaps(checkout: GitCheckout, tree: str, ignored: Callable[[str], bool]) -> _Gaps:
    gaps, small = _Gaps(), {}
    for line in checkout.mirror.git("ls-tree", "-r", "-l", "-z", tree).split("\0"):
        what, _, path = line.partition("\t")
        mode, _, sha, size = what.split() if what else ("", "", "", "")
        if mode == "160000" and not ignored(f"{path}/"):
            gaps.submodules[path] = sha
        # Not symbolic links, whose text is a path.
        elif mode.startswith("100") and int(size) in POINTER_SIZES:
            small[path] = sha
    contents = _contents(checkout, sorted(set(small.values())))
    for path, sha in small.items():
        if (pointer := LfsPointer.parse(contents[sha])) and not ignored(path):
            gaps.pointers[path] = pointer
    return gaps


def _contents(checkout: GitCheckout, blobs: list[str]) -> dict[str, bytes]:
    """Return the contents of small files. Raises `GitFailed`."""
    found = {}
    for start in range(0, len(blobs), _BATCH):
        request = "\n".join([*blobs[start : start + _BATCH], ""]).encode()
        answer = checkout.mirror.git.read("cat-file", "--batch", standard_input=request)
        at = 0
        while at < len(answer):
            end = answer.index(b"\n", at)
            header = answer[at:end].decode()
            if header.endswith(" missing"):
                raise GitFailed(header)
            sha, _, size = header.split(" ")
            found[sha] = answer[end + 1 : end + 1 + int(size)]
            at = end + 1 + int(size) + 1
    return found


def _fill(
    checkout: GitCheckout,
    folder: str,
    stream: IO[bytes],
    target: tarfile.TarFile,
    gaps: _Gaps,
    ignored: Callable[[str], bool],
) -> None:
    objects = LfsObjects(checkout.mirror, checkout.revision)
    files = objects.fetch({_join(folder, path): pointer for path, pointer in gaps.pointers.items()})
    with tarfile.open(fileobj=stream, mode="r|") as source:
        for member in source:
            path = member.name.rstrip("/")
            if path in gaps.submodules:
                _copy_submodule(checkout, folder, path, target, gaps.submodules[path], ignored)
            elif path in gaps.pointers:
                member.size = gaps.pointers[path].size
                with files[_join(folder, path)].open("rb") as content:
                    target.addfile(member, content)
            else:
                target.addfile(member, source.extractfile(member) if member.isfile() else None)


def _copy_submodule(
    checkout: GitCheckout, folder: str, path: str, target: tarfile.TarFile, sha: str, ignored: Callable[[str], bool]
) -> None:
    submodule = checkout.submodule(_join(folder, path), sha)
    with (
        submodule.archive(".", lambda name: ignored(f"{path}/{name}")) as stream,
        tarfile.open(fileobj=stream, mode="r|") as source,
    ):
        for member in source:
            member.name = f"{path}/{member.name}"
            if member.islnk():
                member.linkname = f"{path}/{member.linkname}"
            target.addfile(member, source.extractfile(member) if member.isfile() else None)


def _join(folder: str, path: str) -> str:
    return path if folder == "." else f"{folder}/{path}"
