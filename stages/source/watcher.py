"""A watch on the refs of a local repository. It skips other files, since a commit makes over a hundred events."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

from pipeline.base.watch import Watch, watch

_NAMES = frozenset({"HEAD", "packed-refs", "tables.list"})


def watch_refs(git_directory: Path, moved: Callable[[], None]) -> AbstractContextManager[Watch]:
    """Call `moved` when a ref may have moved: as a file, in `packed-refs`, or in a reftable."""
    # Linked worktrees share the refs, except HEAD.
    folders = {git_directory: False, git_directory / "refs": True}
    folders |= {place: True for name in ("reftable", "worktrees") if (place := git_directory / name).is_dir()}

    def relevant(path: str) -> bool:
        name = path.rpartition("/")[2]
        if path.startswith(f"{git_directory}/refs/"):
            return not name.endswith(".lock")
        return name in _NAMES

    return watch(folders, relevant, moved)
