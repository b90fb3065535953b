"""The repository that a pipeline names, and a private mirror of it. The user's own files are never written."""

from __future__ import annotations

import hashlib
import re
import shutil
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from pipeline.api import Revision
from pipeline.base.errors import ConfigError
from pipeline.base.git import GitFailed, redact
from pipeline.base.lock import short_lock
from pipeline.base.suggestion import did_you_mean
from stages.source.checkout import GitCheckout
from stages.source.git import Git, explain, fetch, is_url
from stages.source.refs import commits, heads, remote_heads

_SHA = re.compile(r"[0-9a-f]{4,40}")
_FULL = 40
_DAMAGE = ("not a git repository", "bad object", "corrupt", "is empty", "missing blob", "missing tree", "invalid sha1")


class Repository:
    """A repository, mirrored under `mirrors`. Raises `ConfigError` for errors that the user can fix."""

    def __init__(
        self,
        named: str,
        base: Path,
        mirrors: Path,
        warn: Callable[[str], None],
        cancelled: threading.Event | None = None,
    ) -> None:
        if named.startswith("-"):
            raise ConfigError(f"source.repository: {named} is neither a path nor a URL")
        self._warn = warn
        self._checkout: Git | None = None
        self._at: Git | None = None
        self.location = named if is_url(named) else self._local(named, base)
        tail = re.sub(r"[^A-Za-z0-9.-]+", "-", redact(self.location).rstrip("/").removesuffix("/.git"))[-40:].strip("-")
        digest = hashlib.sha256(self.location.encode()).hexdigest()[:12]
        self._lock = mirrors / f"{tail}-{digest}.lock"
        self._git = Git(_made(mirrors / f"{tail}-{digest}.git"), cancelled)

    def resolve(self, wanted: str) -> Revision:
        """Return the commit that a branch, else a tag, else a commit id names. `HEAD` is the commit checked out."""
        if wanted.startswith("-"):
            raise ConfigError(f"{wanted} is no branch, tag or commit")
        name = self._head() if wanted == "HEAD" else wanted
        with short_lock(self._lock):
            self._fetch()
            sha = self._commit(name)
        return self._revision(sha, wanted)

    def commit(self, sha: str, ref: str) -> Revision:
        """Return the commit of that id, which `ref` led to. Fetches nothing if the mirror has it."""
        with short_lock(self._lock):
            if not self._has(sha):
                with suppress(GitFailed):
                    # What is fetched without a ref is not known to be here the next time, and comes all over again.
                    fetch(
                        self._git,
                        self.location,
                        f"+{sha}:refs/penstock/{hashlib.sha256(ref.encode()).hexdigest()[:16]}",
                    )
            if not self._has(sha):
                self._fetch()
                sha = self._commit(sha)
        return self._revision(sha, ref)

    def heads(self, patterns: Sequence[str]) -> dict[str, str]:
        """Return the commit of every ref that a pattern such as `refs/heads/*` means; of `HEAD` what is checked out."""
        if patterns == ["HEAD"]:
            return {"HEAD": self._head()}
        try:
            return heads(self._at, patterns) if self._at else remote_heads(self._git, self.location, patterns)
        except GitFailed as error:
            raise explain(error, self.location) from error

    def commits(self, old: str | None, new: str) -> list[Revision]:
        """Return the commits along the first parents, oldest first; only the last if the way is unknown."""
        if self._at is None:
            with short_lock(self._lock):
                if not self._has(new):
                    self._fetch()
        return commits(self._at or self._git, old, new, redact(self.location))

    def place_of(self, file: Path) -> str | None:
        """Return the path of a file within the repository, committed or not; None if it is outside."""
        top = self._checkout.maybe("rev-parse", "--show-toplevel") if self._checkout else None
        root = Path(top.rstrip("\n")).resolve() if top else None
        return str(file.relative_to(root)) if root and file.is_relative_to(root) else None

    def checkout(self, revision: Revision) -> GitCheckout:
        """Return a commit with its files. Raises `ConfigError` for a repository with submodules."""
        checkout = GitCheckout(self._git, revision)
        if modules := checkout.read(".gitmodules"):
            paths = re.findall(r"^\s*path\s*=\s*(.+)$", modules.decode(errors="replace"), re.MULTILINE)
            raise ConfigError(
                f"commit {revision.short} has submodules ({', '.join(paths)}), which are not supported yet",
                hint="put their files into the repository, or fetch them in the Dockerfile",
            )
        return checkout

    def changed(self, old: str, revision: Revision) -> list[str] | None:
        """Return the paths that differ between two commits; None if the first is no longer known."""
        if self._git.maybe("cat-file", "-e", f"{old}^{{commit}}") is None:
            return None
        return [p for p in self._git("diff", "--name-only", "--no-renames", "-z", old, revision.sha).split("\0") if p]

    def uncommitted(self, revision: Revision, apart_from: Path) -> int:
        """Return how many files of the user's checkout, but for one, differ from the commit, if that is checked out."""
        if self._checkout is None or (self._checkout.maybe("rev-parse", "HEAD") or "").strip() != revision.sha:
            return 0
        top = Path((self._checkout.maybe("rev-parse", "--show-toplevel") or "").rstrip("\n"))
        changes = (self._checkout.maybe("status", "--porcelain", "-z") or "").split("\0")
        return sum(bool(change) and top / change[3:] != apart_from for change in changes)

    def _revision(self, sha: str, ref: str) -> Revision:
        return replace(commits(self._git, None, sha, redact(self.location))[-1], ref=ref)

    def _has(self, sha: str) -> bool:
        return self._git.maybe("cat-file", "-e", f"{sha}^{{commit}}") is not None

    def _local(self, named: str, base: Path) -> str:
        path = (base / Path(named).expanduser()).resolve()
        if not path.is_dir():
            raise ConfigError(f"source.repository: {path} does not exist", hint="name a git repository, or a URL")
        git = Git(path)
        try:
            found = git("rev-parse", "--path-format=absolute", "--git-common-dir", "--is-bare-repository")
        except GitFailed as error:
            if "dubious ownership" in str(error):
                raise explain(error, str(path)) from error
            raise ConfigError(
                f"source.repository: {path} is not a git repository",
                hint="make it one: git init && git add . && git commit -m 'First'",
            ) from error
        common, bare = found.splitlines()
        self._checkout = git if bare == "false" else None
        self._at = git
        return common

    def _head(self) -> str:
        if self._at is None:
            raise ConfigError("HEAD means what is checked out, and a URL has no checkout", hint="name a branch")
        sha = self._at.maybe("rev-parse", "--verify", "--quiet", "HEAD^{commit}")
        if sha is None:
            raise self._empty()
        return sha.strip()

    def _fetch(self, *refs: str) -> None:
        try:
            fetch(self._git, self.location, *refs)
        except GitFailed as error:
            if not any(sign in str(error) for sign in _DAMAGE):
                raise explain(error, self.location) from error
            self._warn(f"the mirror of {redact(self.location)} is damaged: fetching it again")
            shutil.rmtree(self._git.directory, ignore_errors=True)
            _made(self._git.directory)
            try:
                fetch(self._git, self.location, *refs)
            except GitFailed as again:
                raise explain(again, self.location) from again

    def _commit(self, name: str) -> str:
        for ref in (f"refs/heads/{name}", f"refs/tags/{name}"):
            if found := self._git.maybe("rev-parse", "--verify", "--quiet", f"{ref}^{{commit}}"):
                return found.strip()
        if _SHA.fullmatch(name):
            return self._by_id(name)
        raise self._unknown(name)

    def _by_id(self, name: str) -> str:
        found = self._git.maybe("rev-parse", "--verify", "--quiet", f"{name}^{{commit}}")
        if found is None and len(name) == _FULL:
            # No branch and no tag leads to it; asked for by its full id, git may give it all the same.
            try:
                fetch(self._git, self.location, name)
            except GitFailed as error:
                raise ConfigError(f"there is no commit {name} in {redact(self.location)}") from error
            found = name
        if found is None:
            candidates = self._git("rev-parse", f"--disambiguate={name}").split()
            if len(candidates) > 1:
                raise ConfigError(f"commit {name} is ambiguous", hint=f"one of: {' '.join(candidates[:5])}")
            raise self._unknown(name)
        return found.strip()

    def _unknown(self, name: str) -> ConfigError:
        refs = self._git("for-each-ref", "--format=%(refname:lstrip=2)", "refs/heads", "refs/tags").split()
        if not refs:
            return self._empty()
        return ConfigError(
            f"there is no branch, tag or commit {name} in {redact(self.location)}", hint=did_you_mean(name, refs)
        )

    def _empty(self) -> ConfigError:
        return ConfigError(f"{redact(self.location)} has no commit yet", hint="git add . && git commit -m 'First'")


def _made(path: Path) -> Path:
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    return path
