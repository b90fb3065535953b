"""Files and folders of a tree in a mirror. Symbolic links are followed within the tree.

`git cat-file --follow-symlinks` would do this, but it calls a link to `./Dockerfile` dangling.
"""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.base.errors import StageFailed
from pipeline.base.git import GitFailed
from stages.source.git import Git

# As many as Linux follows.
_MAX_LINKS = 40


class LeadsNowhere(Exception):
    """A symbolic link on the way leads out of the tree, to itself, or to something that is missing."""


@dataclass(frozen=True)
class TreeEntry:
    """An entry of a tree: a file or link (`blob`), a folder (`tree`), or a submodule (`commit`). `size` is in bytes."""

    mode: str
    kind: str
    id: str
    size: int

    @property
    def is_link(self) -> bool:
        """True for a symbolic link."""
        return self.mode == "120000"


@dataclass(frozen=True)
class Location:
    """The entry that a path leads to, and its own path. `rest` is the way that is left at a submodule."""

    entry: TreeEntry
    path: str
    rest: str = ""


def locate(git: Git, tree: str, path: str) -> Location | None:
    """Return where a path leads, or None if there is nothing of that name. Raises `LeadsNowhere` and `StageFailed`."""
    ahead, behind, links = path.split("/"), list[str](), 0
    if any(part in ("", ".", "..") for part in ahead):
        return None
    while ahead:
        part = ahead.pop(0)
        if part == ".." and not behind:
            raise LeadsNowhere("leads out of the repository")
        if part == "..":
            behind.pop()
        if part in ("", ".", ".."):
            continue
        place = "/".join([*behind, part])
        entry = _entry(git, tree, place)
        if entry is None or (entry.kind == "blob" and not entry.is_link and ahead):
            if links:
                raise LeadsNowhere("leads to nothing in the repository")
            return None
        if entry.is_link:
            links += 1
            ahead = _target(git, entry, links) + ahead
        elif entry.kind == "tree":
            behind.append(part)
        else:
            return Location(entry, place, "/".join(ahead))
    folder = _entry(git, tree, "/".join(behind)) if behind else TreeEntry("040000", "tree", tree, 0)
    return Location(folder, "/".join(behind)) if folder else None


def _target(git: Git, link: TreeEntry, links: int) -> list[str]:
    if links > _MAX_LINKS:
        raise LeadsNowhere("leads to itself")
    target = read_blob(git, link.id).decode(errors="surrogateescape")
    if target.startswith("/"):
        raise LeadsNowhere("leads out of the repository")
    return target.split("/")


def _entry(git: Git, tree: str, path: str) -> TreeEntry | None:
    try:
        line = git("ls-tree", "-l", "-z", tree, "--", path)
    except GitFailed as error:
        raise unreadable(git, error) from error
    if not line:
        return None
    mode, kind, sha, size = line.partition("\t")[0].split()
    return TreeEntry(mode, kind, sha, int(size) if size != "-" else 0)


def read_blob(git: Git, blob: str) -> bytes:
    """Return the content of a file. Raises `StageFailed` if it is missing or damaged."""
    try:
        return git.read("cat-file", "blob", blob)
    except GitFailed as error:
        raise unreadable(git, error) from error


def unreadable(git: Git, error: GitFailed) -> StageFailed:
    """Return the error of a mirror whose objects cannot be read."""
    return StageFailed(f"cannot read the mirror {git.directory}: {error}")
