"""Files and folders of a tree in a mirror. Symbolic links are followed within the tree.

`git cat-file --follow-symlinks` would do this, but it calls a link to `./Dockerfile` dangling.
"""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.base.errors import StageFailed
from pipeline.base.git import GitFailed
from stages.source.git import Git

# The limit of Linux.
_MAX_LINKS = 40


class LeadsNowhere(Exception):
    """A symbolic link in the path leads out of the tree, to itself, or to nothing."""


@dataclass(frozen=True)
class TreeEntry:
    """An entry of a tree: a file or link (`blob`), a folder (`tree`), or a submodule (`commit`).

    `size` is in bytes, or None for a folder, a submodule and a file that is missing.
    """

    mode: str
    kind: str
    id: str
    size: int | None

    @property
    def is_link(self) -> bool:
        """True for a symbolic link."""
        return self.mode == "120000"


@dataclass(frozen=True)
class Location:
    """The entry that a path leads to, with its real path. `rest` is the remaining path within a submodule."""

    entry: TreeEntry
    path: str
    rest: str = ""


class TreeReader:
    """The entries of one tree in a mirror. Each folder is listed once, since each listing starts a program."""

    def __init__(self, git: Git, tree: str) -> None:
        self._git = git
        self._root = TreeEntry("040000", "tree", tree, None)
        self._listings: dict[str, dict[str, TreeEntry]] = {}

    def entry(self, path: str) -> TreeEntry | None:
        """Return the entry at a path without links, or None. The root is ``. Raises `StageFailed`."""
        if not path:
            return self._root
        folder, _, name = path.rpartition("/")
        parent = self.entry(folder)
        return self._listing(parent.id).get(name) if parent and parent.kind == "tree" else None

    def _listing(self, tree: str) -> dict[str, TreeEntry]:
        if tree not in self._listings:
            try:
                lines = self._git("ls-tree", "-l", "-z", tree).split("\0")
            except GitFailed as error:
                raise unreadable(self._git, error) from error
            self._listings[tree] = dict(map(_parsed, filter(None, lines)))
        return self._listings[tree]


def _parsed(line: str) -> tuple[str, TreeEntry]:
    """Return the name and the entry of a line of `git ls-tree -l`."""
    what, _, name = line.partition("\t")
    mode, kind, sha, size = what.split()
    return name, TreeEntry(mode, kind, sha, int(size) if size.isdecimal() else None)


def locate(git: Git, reader: TreeReader, path: str) -> Location | None:
    """Return the entry of a path, or None if it does not exist. Raises `LeadsNowhere` and `StageFailed`."""
    ahead, behind, links = path.split("/"), list[str](), 0
    if any(part in ("", ".", "..") for part in ahead):
        return None
    own = len(ahead)
    while ahead:
        part = ahead.pop(0)
        # What is missing below a link is missing, while a link to something missing is a mistake.
        is_linked, own = len(ahead) >= own, min(own, len(ahead))
        if part == ".." and not behind:
            raise LeadsNowhere("leads out of the repository")
        if part == "..":
            behind.pop()
        if part in ("", ".", ".."):
            continue
        place = "/".join([*behind, part])
        entry = reader.entry(place)
        if entry is None or (entry.kind == "blob" and not entry.is_link and ahead):
            if is_linked:
                raise LeadsNowhere("leads to nothing in the repository")
            return None
        if entry.is_link:
            links += 1
            ahead = _target(git, entry, links) + ahead
        elif entry.kind == "tree":
            behind.append(part)
        else:
            return Location(entry, place, "/".join(ahead))
    folder = reader.entry("/".join(behind))
    return Location(folder, "/".join(behind)) if folder else None


def _target(git: Git, link: TreeEntry, links: int) -> list[str]:
    if links > _MAX_LINKS:
        raise LeadsNowhere("leads to itself")
    target = read_blob(git, link.id).decode(errors="surrogateescape")
    if target.startswith("/"):
        raise LeadsNowhere("leads out of the repository")
    return target.split("/")


def read_blob(git: Git, blob: str) -> bytes:
    """Return the content of a file. Raises `StageFailed` if it is missing or damaged."""
    try:
        return git.read("cat-file", "blob", blob)
    except GitFailed as error:
        raise unreadable(git, error) from error


def unreadable(git: Git, error: GitFailed) -> StageFailed:
    """Return the error of a mirror whose objects cannot be read."""
    return StageFailed(f"cannot read the mirror {git.directory}: {error}")
