"""Files and folders of a tree in a mirror. Symbolic links are followed within the tree.

`git cat-file --follow-symlinks` would do this, but it calls a link to `./Dockerfile` dangling.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.base.errors import StageFailed
from pipeline.base.git import GitFailed
from stages.source.git import Git

if TYPE_CHECKING:
    from git.objects import Tree

_SHA_1_DIGITS = 40
_TREE_MODE = 0o040000
# The limit of Linux.
_MAX_LINKS = 40


class LeadsNowhere(Exception):
    """A symbolic link in the path leads out of the tree, to itself, or to nothing."""


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
    """The entry that a path leads to, with its real path. `rest` is the remaining path within a submodule."""

    entry: TreeEntry
    path: str
    rest: str = ""


EntryOf = Callable[[str], TreeEntry | None]


def locate(git: Git, tree: str, path: str) -> Location | None:
    """Return the entry of a path, or None if it does not exist. Raises `LeadsNowhere` and `StageFailed`."""
    with _entries_of(git, tree) as entry_of:
        return _locate(git, tree, path, entry_of)


def _locate(git: Git, tree: str, path: str, entry_of: EntryOf) -> Location | None:
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
        entry = entry_of(place)
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
    folder = entry_of("/".join(behind)) if behind else TreeEntry("040000", "tree", tree, 0)
    return Location(folder, "/".join(behind)) if folder else None


def _target(git: Git, link: TreeEntry, links: int) -> list[str]:
    if links > _MAX_LINKS:
        raise LeadsNowhere("leads to itself")
    target = read_blob(git, link.id).decode(errors="surrogateescape")
    if target.startswith("/"):
        raise LeadsNowhere("leads out of the repository")
    return target.split("/")


@contextmanager
def _entries_of(git: Git, tree: str) -> Iterator[EntryOf]:
    """Yield a function that returns the entry of a path, read by GitPython unless the ids are SHA-256."""
    if len(tree) != _SHA_1_DIGITS:
        yield lambda path: _listed_entry(git, tree, path)
        return
    import git as gitpython
    from git.exc import ODBError
    from git.objects import Tree

    try:
        with gitpython.Repo(git.directory) as repository:
            repository.git.update_environment(**_environment(git.directory))
            root = Tree(repository, bytes.fromhex(tree), _TREE_MODE, "")
            yield lambda path: _joined_entry(git, root, path)
    except (gitpython.GitError, ODBError, ValueError) as error:
        raise StageFailed(f"cannot read the mirror {git.directory}: {error}") from error


def _joined_entry(git: Git, root: Tree, path: str) -> TreeEntry | None:
    try:
        found = root.join(path)
    except KeyError:
        return None
    except ValueError:
        # GitPython refuses some trees that git reads, such as one in which .gitmodules is a link.
        return _listed_entry(git, root.hexsha, path)
    kind = "commit" if found.type == "submodule" else found.type
    return TreeEntry(f"{found.mode:06o}", kind, found.hexsha, found.size if kind == "blob" else 0)


def _environment(mirror: Path) -> dict[str, str]:
    """Return neutral values for the variables that git sets for its hooks. GitPython cannot unset a variable."""
    return {
        "GIT_ALTERNATE_OBJECT_DIRECTORIES": "",
        "GIT_COMMON_DIR": str(mirror),
        "GIT_CONFIG_COUNT": "0",
        "GIT_CONFIG_PARAMETERS": "",
        "GIT_DIR": str(mirror),
        "GIT_OBJECT_DIRECTORY": str(mirror / "objects"),
        "GIT_WORK_TREE": str(mirror),
    }


def _listed_entry(git: Git, tree: str, path: str) -> TreeEntry | None:
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
