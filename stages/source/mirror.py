"""A private bare copy of a repository. The user's own files are never written."""

from __future__ import annotations

import hashlib
import re
import shutil
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

from pipeline.base.git import GitFailed
from pipeline.base.lock import short_lock
from stages.source.fetch_errors import explain
from stages.source.git import Git
from stages.source.origin import Origin

_NO_ATTRIBUTES = "-export-ignore -export-subst -filter -ident -text -eol -working-tree-encoding"
_REFS = ("+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*")
# In seconds. Another process may hold the lock while it fetches, which takes ten minutes at most.
_LOCK_TIMEOUT = 660.0
_DAMAGE = re.compile(
    r"not a git repository|bad object|corrupt|is empty|missing (?:blob|tree|commit)|invalid sha1|bad pack header"
    r"|unable to read [0-9a-f]{4}|unpack-objects failed"
    # The repository was replaced by one with another object format.
    r"|mismatched algorithms"
)


class Mirror:
    """A mirror of a repository. Callers hold `locked` while they fetch."""

    def __init__(
        self, folder: Path, origin: Origin, warn: Callable[[str], None], cancelled: threading.Event | None = None
    ) -> None:
        tail = re.sub(r"[^A-Za-z0-9.-]+", "-", origin.shown.rstrip("/").removesuffix("/.git"))[-40:].strip("-")
        name = f"{tail}-{hashlib.sha256(origin.location.encode()).hexdigest()[:12]}"
        self._folder = folder
        self._warn = warn
        self.origin = origin
        self._lock = folder / f"{name}.lock"
        self.git = Git(folder / f"{name}.git", cancelled, origin.environment)
        self.git.directory.mkdir(mode=0o700, parents=True, exist_ok=True)

    def locked(self) -> AbstractContextManager[None]:
        """Lock the mirror against other processes. Raises `LockHeld` if another one holds it longer than a fetch."""
        return short_lock(self._lock, _LOCK_TIMEOUT)

    def of(self, origin: Origin) -> Mirror:
        """Return the mirror of another repository, such as a submodule, in the same folder."""
        return Mirror(self._folder, origin, self._warn, self.git.cancelled)

    def has(self, sha: str) -> bool:
        """Return whether the mirror has a commit."""
        return self.git.maybe("cat-file", "-e", f"{sha}^{{commit}}") is not None

    def fetch(self, *refs: str) -> None:
        """Fetch refs, by default all branches and tags. A damaged mirror is replaced.

        Raises `PenstockError` if the repository cannot be read. The mirror then stays unchanged.
        """
        try:
            _fetch(self.git, self.origin, refs)
        except GitFailed as error:
            if not _DAMAGE.search(str(error)):
                raise explain(error, self.origin.shown) from error
            self._replace(refs)

    def keep(self, what: str, ref: str) -> str:
        """Fetch one commit or ref, store it under a ref of the mirror, and return the commit. Raises `GitFailed`."""
        # Without a ref, the next fetch would not find it and would fetch it again.
        kept = f"refs/penstock/{hashlib.sha256(ref.encode(errors='surrogateescape')).hexdigest()[:16]}"
        _fetch(self.git, self.origin, (f"+{what}:{kept}",))
        return self.git("rev-parse", "--verify", f"{kept}^{{commit}}").strip()

    def _replace(self, refs: tuple[str, ...]) -> None:
        """Fetch into a new mirror, which replaces this one. If that fails too, the repository is the cause."""
        path = self.git.directory
        fresh = Git(path.with_suffix(".new"), self.git.cancelled, self.git.environment)
        shutil.rmtree(fresh.directory, ignore_errors=True)
        fresh.directory.mkdir(mode=0o700)
        try:
            _fetch(fresh, self.origin, refs)
        except GitFailed as error:
            shutil.rmtree(fresh.directory, ignore_errors=True)
            raise explain(error, self.origin.shown) from error
        shutil.rmtree(path, ignore_errors=True)
        fresh.directory.rename(path)
        self._warn(f"the mirror of {self.origin.shown} was damaged: fetched again")


def _fetch(git: Git, origin: Origin, refs: tuple[str, ...]) -> None:
    """Fetch refs into a mirror, and create it if it is missing. Raises `GitFailed`."""
    path = git.directory
    # For a URL, this lists the refs first, within tighter limits than those of a fetch.
    object_format = origin.object_format(git)
    new = not (path / "HEAD").exists()
    if new:
        shutil.rmtree(path, ignore_errors=True)
        path.mkdir(mode=0o700, parents=True)
        git("-c", "init.defaultRefFormat=files", "init", "--bare", "--quiet", f"--object-format={object_format}")
    _prepare(path)
    depth = _depth(path, origin)
    try:
        _fetch_refs(git, origin, refs, depth)
    except GitFailed as error:
        # With a depth, git fails without a reason if none of the refs exists. Without a depth, it succeeds.
        if str(error) or not depth:
            raise
        _fetch_refs(git, origin, refs, ())
    if new:
        # Unpacked, tens of thousands of refs would cost each later fetch a second.
        git("pack-refs", "--all")
    git.maybe("gc", "--auto", "--quiet")


def _fetch_refs(git: Git, origin: Origin, refs: tuple[str, ...], depth: tuple[str, ...]) -> None:
    git.fetch(
        "--quiet",
        "--force",
        "--no-write-fetch-head",
        "--no-auto-maintenance",
        # Otherwise git skips refs of a shallow repository without an error.
        "--update-shallow",
        # To follow tags, git would have to list all of them first.
        "--no-tags" if refs else "--prune",
        *depth,
        "--",
        origin.location,
        *(refs or _REFS),
    )


def _depth(path: Path, origin: Origin) -> tuple[str, ...]:
    """Return the options for a repository without its full history."""
    options = tuple(origin.fetch_options())
    # The repository may have more history than at the last fetch. If it has not, this costs nothing.
    return options or (("--unshallow",) if (path / "shallow").exists() else ())


def _prepare(path: Path) -> None:
    # The build context is exactly the commit. Its attributes must not exclude, expand or filter files.
    (path / "info").mkdir(exist_ok=True)
    (path / "info" / "attributes").write_text(f"* {_NO_ATTRIBUTES}\n")
    # A killed git leaves its locks. The mirror's own lock is held here, so these are stale.
    for place in (path.glob("*.lock"), *((path / folder).rglob("*.lock") for folder in ("refs", "objects/info"))):
        for stale in place:
            stale.unlink(missing_ok=True)
