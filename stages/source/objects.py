"""The objects of a mirror, read with GitPython. No other module imports it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.base.errors import StageFailed

if TYPE_CHECKING:
    from git.objects import Tree


@contextmanager
def open_tree(mirror: Path, tree_id: str) -> Iterator[Tree]:
    """Yield a git tree of a bare mirror. Its entries are read when they are used.

    Raises `StageFailed` if an object is missing or damaged.
    """
    import git
    from git.exc import ODBError

    try:
        with git.Repo(mirror) as repository:
            repository.git.update_environment(**_environment(mirror))
            yield git.Tree(repository, bytes.fromhex(tree_id), git.Tree.tree_id << 12, "")
    except (git.GitError, ODBError, ValueError) as error:
        raise StageFailed(f"cannot read the mirror {mirror}: {error}") from error


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
