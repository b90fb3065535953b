"""A folder as a power cut may leave it, at any point of a recorded program.

`recorder.c` records what a program changes. A `Disk` replays the records as a file system that promises no more than
POSIX: the content of a file is durable after its `fsync`, and a name in a folder after the folder's `fsync`.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path
from typing import NamedTuple

RECORDER = Path(__file__).with_name("recorder.c")
# All subsets of up to this many changes of names are tried. Of more, only the beginnings and ends.
_MAX_CHANGES = 6


class Record(NamedTuple):
    """One change. `target` is the second path of a rename or a link."""

    operation: str
    inode: int
    offset: int
    path: Path
    target: Path
    data: bytes


@dataclass(eq=False)
class File:
    """The content that programs read, and the content that is durable."""

    content: bytearray = field(default_factory=bytearray)
    durable: bytes = b""

    def write(self, offset: int, data: bytes) -> None:
        self.content.extend(bytes(max(0, offset - len(self.content))))
        self.content[offset : offset + len(data)] = data

    def truncate(self, size: int) -> None:
        del self.content[size:]
        self.content.extend(bytes(size - len(self.content)))

    def sync(self) -> None:
        self.durable = bytes(self.content)


Names = dict[Path, File | None]
"""What is at each path below the root. None is a folder."""


class Change(NamedTuple):
    """A change of names, which is durable after a sync of `folder`: `removed` is gone, and `added` is `file`."""

    folder: Path
    removed: Path | None
    added: Path | None
    file: File | None

    def apply(self, names: Names) -> None:
        if self.removed is not None:
            names.pop(self.removed, None)
        if self.added is not None:
            names[self.added] = self.file


@dataclass
class Disk:
    """The files below `root`, which was durable and empty at first."""

    root: Path
    names: Names = field(default_factory=dict)
    durable: Names = field(default_factory=dict)
    pending: list[Change] = field(default_factory=list)
    _inodes: dict[int, File] = field(default_factory=dict)

    def replay(self, record: Record) -> None:
        """Make one recorded change."""
        match record.operation:
            case "create":
                self._inodes[record.inode] = file = File()
                self._change(Change(record.path.parent, None, record.path, file))
            case "mkdir":
                self._change(Change(record.path.parent, None, record.path, None))
            case "remove":
                self._change(Change(record.path.parent, record.path, None, None))
            case "link":
                self._change(Change(record.target.parent, None, record.target, self.names[record.path]))
            case "rename":
                assert record.path.parent == record.target.parent
                self._change(Change(record.path.parent, record.path, record.target, self.names[record.path]))
            case "write":
                self._inodes[record.inode].write(record.offset, record.data)
            case "truncate":
                self._inodes[record.inode].truncate(record.offset)
            case "sync" if record.inode in self._inodes and self.names.get(record.path):
                self._inodes[record.inode].sync()
            case "sync":
                self._sync_folder(record.path)

    def states(self) -> Iterator[dict[Path, bytes | None]]:
        """Yield every state that a power cut may leave now. Changes of names survive in any combination."""
        for changes in _subsets(self.pending):
            names = dict(self.durable)
            for change in changes:
                change.apply(names)
            reachable = {path: file for path, file in names.items() if self._is_reachable(path, names)}
            yield {path: file and file.durable for path, file in reachable.items()}
            yield {path: file and bytes(file.content) for path, file in reachable.items()}

    def now(self) -> dict[Path, bytes | None]:
        """Return the state without a power cut."""
        return {path: file and bytes(file.content) for path, file in self.names.items()}

    def _change(self, change: Change) -> None:
        change.apply(self.names)
        self.pending.append(change)

    def _sync_folder(self, folder: Path) -> None:
        for change in self.pending:
            if change.folder == folder:
                change.apply(self.durable)
        self.pending = [change for change in self.pending if change.folder != folder]

    def _is_reachable(self, path: Path, names: Names) -> bool:
        return path.parent == self.root or (path.parent in names and self._is_reachable(path.parent, names))


def _subsets(changes: list[Change]) -> Iterator[tuple[Change, ...]]:
    if len(changes) <= _MAX_CHANGES:
        for count in range(len(changes) + 1):
            yield from combinations(changes, count)
        return
    for number in range(len(changes) + 1):
        yield tuple(changes[:number])
        yield tuple(changes[number:])


def restore(state: dict[Path, bytes | None], root: Path, place: Path) -> None:
    """Write a state of `root` into the folder `place`."""
    place.mkdir()
    for path, content in sorted(state.items()):
        target = place / path.relative_to(root)
        if content is None:
            target.mkdir(parents=True, exist_ok=True)
        else:
            target.write_bytes(content)


def compile_recorder(folder: Path) -> Path:
    """Compile `recorder.c` and return the library. Raises `CalledProcessError`, or `FileNotFoundError` without gcc."""
    library = folder / "recorder.so"
    command = ["gcc", "-shared", "-fPIC", "-Wall", "-Wextra", "-Werror", "-o", str(library), str(RECORDER), "-ldl"]
    subprocess.run(command, check=True)
    return library


def record(library: Path, program: Path, root: Path) -> list[Record]:
    """Run a Python program with `root` as its argument, and return the changes below `root`."""
    file = root.with_name(f"{root.name}.record")
    recorder = {"LD_PRELOAD": str(library), "RECORD_ROOT": str(root), "RECORD_FILE": str(file)}
    subprocess.run([sys.executable, str(program), str(root)], env={**os.environ, **recorder}, check=True)
    return list(_parsed(file.read_bytes()))


def _parsed(content: bytes) -> Iterator[Record]:
    start = 0
    while start < len(content):
        end = content.index(b"\n", start)
        operation, inode, offset, size, path, target = content[start:end].decode().split("\t")
        start = end + 1 + int(size)
        yield Record(operation, int(inode), int(offset), Path(path), Path(target), content[end + 1 : start])
