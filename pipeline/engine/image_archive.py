"""An image as an engine saves it, without the layers that the other engines have."""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import tarfile
import tempfile
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, NamedTuple, Self

from pipeline.base.errors import EngineFault

_CHUNK = 256 * 1024
_END = bytes(2 * tarfile.BLOCKSIZE)


class _Member(NamedTuple):
    """A member of the archive. Its content begins at `offset` of the file. A file has a `digest`."""

    header: bytes
    offset: int
    size: int
    digest: str | None


class ImageArchive:
    """The members of a saved image in a temporary file, which no other process sees. Use it as a block.

    A layer is found by the digest of its content, since engines name the files of layers differently.
    """

    def __init__(self, folder: Path) -> None:
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115  # closed on leaving the block
        self._members: list[_Member] = []

    @classmethod
    def read(cls, saved: Iterable[bytes], skipped: Collection[str], folder: Path) -> Self:
        """Read an archive, without the layers `skipped`, into a file in `folder`.

        Raises `EngineFault` if it is cut off, and `OSError` if the disk is full.
        """
        archive = cls(folder)
        try:
            with tarfile.open(fileobj=_Stream(saved), mode="r|") as tar:  # type: ignore[call-overload]
                for member in tar:
                    archive._add(member, tar.extractfile(member) if member.isreg() else None, skipped)
            archive._file.flush()
        except BaseException as error:
            archive.close()
            if isinstance(error, tarfile.TarError):
                raise EngineFault(f"the engine sent an incomplete image: {error}") from error
            raise
        return archive

    @classmethod
    def assemble(
        cls, image: str, config: bytes, layers: Sequence[str], contents: Mapping[str, IO[bytes]], folder: Path
    ) -> Self:
        """Make the archive of an image from its configuration and the contents of some of its layers, by their digests.

        A digest is that of the content without compression. The content may be compressed.
        """
        archive = cls(folder)
        try:
            name = f"{_hex(image)}.json"
            manifest = [{"Config": name, "RepoTags": None, "Layers": [_layer_path(layer) for layer in layers]}]
            archive._put("manifest.json", io.BytesIO(json.dumps(manifest).encode()), None)
            archive._put(name, io.BytesIO(config), None)
            for layer, content in contents.items():
                archive._put(_layer_path(layer), content, layer)
            archive._file.flush()
        except BaseException:
            archive.close()
            raise
        return archive

    def without(self, layers: Collection[str]) -> Iterator[bytes]:
        """Yield the archive without these layers. Several threads may do so at the same time."""
        for member in self._members:
            if member.digest not in layers:
                yield member.header
                yield from self._content(member)
        yield _END

    def size_without(self, layers: Collection[str]) -> int:
        """Return the number of bytes that `without` yields."""
        kept = [each for each in self._members if each.digest not in layers]
        return sum(len(each.header) + _padded(each.size) for each in kept) + len(_END)

    def close(self) -> None:
        """Remove the file. Safe to repeat."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _add(self, member: tarfile.TarInfo, content: IO[bytes] | None, skipped: Collection[str]) -> None:
        offset = self._file.seek(0, os.SEEK_END)
        found = hashlib.sha256()
        while content is not None and (part := content.read(_CHUNK)):
            found.update(part)
            self._file.write(part)
        digest = None if content is None else f"sha256:{found.hexdigest()}"
        if digest in skipped:
            self._file.truncate(offset)
            return
        size = self._file.tell() - offset
        self._members.append(_Member(member.tobuf(tarfile.PAX_FORMAT), offset, size, digest))

    def _put(self, name: str, content: IO[bytes], digest: str | None) -> None:
        offset = self._file.seek(0, os.SEEK_END)
        shutil.copyfileobj(content, self._file, _CHUNK)
        member = tarfile.TarInfo(name)
        member.size = self._file.tell() - offset
        self._members.append(_Member(member.tobuf(tarfile.PAX_FORMAT), offset, member.size, digest))

    def _content(self, member: _Member) -> Iterator[bytes]:
        end = member.offset + member.size
        for offset in range(member.offset, end, _CHUNK):
            # With the offset, so that threads do not move one another's.
            yield os.pread(self._file.fileno(), min(_CHUNK, end - offset), offset)
        yield bytes(_padded(member.size) - member.size)


class _Stream:
    """The chunks of a response as a file that can be read."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = iter(chunks)
        self._rest = b""

    def read(self, size: int) -> bytes:
        parts, missing = [self._rest], size - len(self._rest)
        while missing > 0 and (chunk := next(self._chunks, b"")):
            parts.append(chunk)
            missing -= len(chunk)
        joined = b"".join(parts)
        self._rest = joined[size:]
        return joined[:size]


def _layer_path(layer: str) -> str:
    return f"{_hex(layer)}/layer.tar"


def _hex(digest: str) -> str:
    return digest.rpartition(":")[2]


def _padded(size: int) -> int:
    return -(-size // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE
