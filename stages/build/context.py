"""The build context: the commit's files as a folder."""

from __future__ import annotations

import os
import shutil
import tarfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path, PurePosixPath
from typing import IO

from pipeline.api import Checkout
from pipeline.base.errors import StageFailed
from pipeline.base.quantity import format_size

_BUFFER = 1 << 20


@contextmanager
def build_context(
    checkout: Checkout,
    source: str,
    folder: Path,
    ignores: Callable[[], Callable[[str], bool]],
    limit: int,
    files: Mapping[str, bytes] | None = None,
) -> Iterator[Path]:
    """Yield `folder` with the commit's files of the folder `source`. It is removed afterwards.

    `files` are written in place of links, which may lead out of `source`, to where no builder follows them.

    Raises `StageFailed` if the files that are not ignored exceed `limit` bytes. `ignores` returns the predicate for
    ignored files. It is called only if all files together exceed the limit. Every file has the time of the commit, so
    the same commit makes the same image. Docker's cache does not compare times.
    """
    predicate = cache(ignores)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=0o700, parents=True)
    try:
        with checkout.archive(source, lambda path: predicate()(path)) as stream:
            _Extraction(folder, predicate, limit, checkout.revision.committed_at.timestamp()).run(stream, files or {})
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class _Extraction:
    """Writes the entries of a tar into a folder that nothing else writes to.

    The commit is not trusted. It cannot write through a link, because this class has created every parent folder.
    """

    def __init__(self, folder: Path, ignores: Callable[[], Callable[[str], bool]], limit: int, modified: float) -> None:
        self._folder = folder
        self._ignores = ignores
        self._limit = limit
        self._sizes: dict[str, int] = {}
        self._total = 0
        self._ignored: Callable[[str], bool] | None = None
        # Whole seconds, as in an image.
        self._times = (int(modified), int(modified))
        self._folders: dict[str, None] = {"": None}

    def run(self, stream: IO[bytes], files: Mapping[str, bytes]) -> None:
        """Write all entries, and the files that are links among them."""
        with tarfile.open(fileobj=stream, mode="r|", bufsize=_BUFFER) as tar:
            for member in tar:
                name = member.name.rstrip("/")
                if any(part in ("", ".", "..") for part in name.split("/")):
                    raise StageFailed(f"the commit has an invalid path: {member.name!r}")
                try:
                    self._make_folder(name.rpartition("/")[0])
                    self._write(tar, member, name)
                except OSError as error:
                    raise StageFailed(f"cannot write {name!r} of the commit: {error.strerror}") from error
        for name, content in files.items():
            try:
                self._put(PurePosixPath(name), content)
            except OSError as error:
                raise StageFailed(f"cannot write {name!r} of the commit: {error.strerror}") from error
        # Folders come last, because each new entry changes the time of its folder.
        for name in reversed(self._folders):
            os.utime(self._folder / name, self._times)

    def _make_folder(self, name: str, mode: int = 0o755) -> None:
        if name not in self._folders:
            self._make_folder(name.rpartition("/")[0])
            Path(self._folder / name).mkdir()
            Path(self._folder / name).chmod(mode)
            self._folders[name] = None

    def _write(self, tar: tarfile.TarFile, member: tarfile.TarInfo, name: str) -> None:
        path = self._folder / name
        if member.isdir():
            self._make_folder(name, member.mode)
        elif member.issym():
            path.symlink_to(member.linkname)
            os.utime(path, self._times, follow_symlinks=False)
        else:
            self._count(member, name)
            content = tar.extractfile(member)
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, member.mode)
            with os.fdopen(descriptor, "wb") as file:
                if content is not None:
                    shutil.copyfileobj(content, file, _BUFFER)
                os.fchmod(descriptor, member.mode)
            os.utime(path, self._times)

    def _put(self, name: PurePosixPath, content: bytes) -> None:
        """Write a file if the commit has a link in its place, or in the place of a folder above it."""
        place = ""
        for part in name.parts[:-1]:
            place = self._folder_of(f"{place}/{part}".lstrip("/"))
        path = self._folder / place / name.name
        if path.is_symlink():
            path.unlink()
        if not path.exists():
            path.write_bytes(content)
            path.chmod(0o644)
            os.utime(path, self._times)

    def _folder_of(self, name: str) -> str:
        """Return the folder that a name leads to. A link out of the context is replaced by a folder."""
        path = self._folder / name
        if path.is_symlink():
            top, target = Path(os.path.realpath(self._folder)), Path(os.path.realpath(path))
            if target.is_relative_to(top) and target.is_dir():
                return "" if target == top else str(target.relative_to(top))
            path.unlink()
        self._make_folder(name)
        return name

    def _count(self, member: tarfile.TarInfo, name: str) -> None:
        if self._ignored is None:
            self._sizes[name] = member.size
            self._total += member.size
            if self._total > self._limit:
                self._ignored = self._ignores()
                self._total = sum(size for other, size in self._sizes.items() if not self._ignored(other))
        elif not self._ignored(name):
            self._total += member.size
        if self._total > self._limit:
            raise StageFailed(
                f"the build context is larger than {format_size(self._limit)}: {name!r} has {member.size} bytes",
                hint="list files that the image does not need in .dockerignore, or raise build.context_limit",
            )
