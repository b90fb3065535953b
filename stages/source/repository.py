"""The repository that a pipeline names, read through its mirror."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from pipeline.api import Revision
from pipeline.base.errors import ConfigError
from pipeline.base.git import GitFailed
from pipeline.base.remote_url import RemoteUrl, is_url
from pipeline.base.suggestion import did_you_mean
from stages.source.checkout import GitCheckout
from stages.source.fetch_errors import explain
from stages.source.mirror import Mirror
from stages.source.origin import LocalOrigin, Origin, RemoteOrigin
from stages.source.refs import commits, gained

_SHA = re.compile(r"[0-9a-f]{4,64}", re.IGNORECASE)
_FULL = (40, 64)
# The commit that is checked out, or one before it such as `HEAD~2`.
_HEAD = re.compile(r"(?:HEAD|@)(?=$|[~^])(.*)", re.DOTALL)


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
        self.origin = _origin(named, base)
        self._local = self.origin if isinstance(self.origin, LocalOrigin) else None
        self._mirror = Mirror(mirrors, self.origin, warn, cancelled)

    def resolve(self, wanted: str, *others: str) -> Revision:
        """Return the commit that a branch, else a tag, else any other revision names.

        `HEAD` and `@` mean the commit that is checked out. Revisions such as `main~1` are those of git. Without a
        branch and a tag `wanted`, the first branch of `others` counts.
        """
        if wanted.startswith("-") or not wanted.isprintable():
            raise ConfigError(f"{wanted!r} is not a branch, a tag or a commit")
        head = _HEAD.fullmatch(wanted)
        name = f"{self._head()}{head[1]}" if head else wanted
        with self._mirror.locked():
            self._mirror.fetch()
            if others and not self._has(wanted):
                name = wanted = next(filter(self._has, others), wanted)
            sha = self._commit(name, wanted)
        return self._revision(sha, wanted)

    def commit(self, sha: str, ref: str) -> Revision:
        """Return the commit with this id, which `ref` led to. Fetches nothing if the mirror has it."""
        with self._mirror.locked():
            if not self._mirror.has(sha):
                try:
                    self._mirror.keep(sha, ref)
                except GitFailed:
                    self._mirror.fetch()
                    sha = self._by_id(sha)
        return self._revision(sha, ref)

    def heads(self, patterns: Sequence[str]) -> dict[str, str]:
        """Return the commit of every ref that matches a pattern, such as `refs/heads/*` or `HEAD`."""
        if patterns == ["HEAD"]:
            return {"HEAD": self._head()}
        try:
            return self.origin.heads(self._mirror.git, patterns)
        except GitFailed as error:
            raise explain(error, self.origin.shown) from error

    def commits(self, old: str | None, new: str) -> list[Revision]:
        """Return the commits along the first parents, oldest first. Only the last one if `old` is unknown."""
        if self._local is None:
            with self._mirror.locked():
                if not self._mirror.has(new):
                    self._mirror.fetch()
        git = self._local.git if self._local else self._mirror.git
        try:
            return commits(git, old, new, self.origin.shown)
        except GitFailed as error:
            raise explain(error, self.origin.shown) from error

    def gained(self, old: str, new: str) -> list[Revision] | None:
        """Return the commits that `new` has and `old` has not, newest first. None if the mirror lacks one of the two.

        Fetches nothing: both were run, so the mirror has had them.
        """
        return gained(self._mirror.git, old, new, self.origin.shown)

    def place_of(self, file: Path) -> str | None:
        """Return the path of a file within the repository, committed or not. None if it is outside."""
        top = self._top()
        return str(file.relative_to(top)) if top and file.is_relative_to(top) else None

    def checkout(self, revision: Revision) -> GitCheckout:
        """Return a commit with its files."""
        return GitCheckout(self._mirror, revision)

    def changed(self, old: str, revision: Revision) -> list[str] | None:
        """Return the paths that differ between two commits. None if the mirror does not have the first one."""
        if not self._mirror.has(old):
            return None
        names = self._mirror.git("diff", "--name-only", "--no-renames", "-z", old, revision.sha)
        return [name for name in names.split("\0") if name]

    def uncommitted(self, revision: Revision, apart_from: Collection[Path]) -> int:
        """Return how many files of the user's checkout differ from the commit, without `apart_from`.

        0 if another commit is checked out.
        """
        if self._local is None or self._local.checkout is None or self._local.git.commit("HEAD") != revision.sha:
            return 0
        status = self._local.checkout.maybe("status", "--porcelain", "--untracked-files=normal", "-z")
        top = self._top() if status else None
        return sum(top is not None and top / path not in apart_from for path in _changed_paths(status or ""))

    def _top(self) -> Path | None:
        checkout = self._local.checkout if self._local else None
        top = checkout.maybe("rev-parse", "--show-toplevel") if checkout else None
        return Path(top.rstrip("\n")).resolve() if top else None

    def _revision(self, sha: str, ref: str) -> Revision:
        try:
            return replace(commits(self._mirror.git, None, sha, self.origin.shown)[-1], ref=ref)
        except GitFailed as error:
            raise explain(error, self.origin.shown) from error

    def _head(self) -> str:
        if self._local is None:
            raise ConfigError("HEAD means what is checked out, and a URL has no checkout", hint="name a branch")
        sha = self._local.git.commit("HEAD")
        if sha is None:
            raise self._empty()
        return sha

    def _has(self, name: str) -> bool:
        return any(self._mirror.git.commit(f"refs/{kind}/{name}") for kind in ("heads", "tags"))

    def _commit(self, name: str, wanted: str) -> str:
        places = ("",) if name.startswith("refs/") else ("refs/heads/", "refs/tags/")
        for place in places:
            if found := self._mirror.git.commit(f"{place}{name}"):
                return found
        if _SHA.fullmatch(name):
            return self._by_id(name.lower())
        if name.startswith("refs/"):
            # Other refs than branches and tags, such as those of pull requests, are not mirrored.
            with suppress(GitFailed):
                return self._mirror.keep(name, name)
        found = self._local.git.commit(name) if self._local else self._mirror.git.commit(name)
        if found is None:
            raise self._unknown(wanted)
        return self._by_id(found)

    def _by_id(self, name: str) -> str:
        found = self._mirror.git.commit(name)
        if found is None and len(name) in _FULL:
            # No branch or tag leads to it. Git may still send a commit that is requested by its full id.
            try:
                return self._mirror.keep(name, name)
            except GitFailed as error:
                raise ConfigError(f"there is no commit {name} in {self.origin.shown}") from error
        if found is None:
            candidates = (self._mirror.git.maybe("rev-parse", f"--disambiguate={name}") or "").split()
            if len(candidates) > 1:
                raise ConfigError(f"commit {name} is ambiguous", hint=f"one of: {' '.join(candidates[:5])}")
            raise self._unknown(name)
        return found

    def _unknown(self, name: str) -> ConfigError:
        refs = self._mirror.git("for-each-ref", "--format=%(refname:lstrip=2)", "refs/heads", "refs/tags").split()
        if refs:
            hint = did_you_mean(name, refs)
        elif self._local and self._local.git.commit("HEAD"):
            hint = "it has no branch; to run the commit that is checked out: pipeline run HEAD"
        else:
            return self._empty()
        return ConfigError(f"there is no branch, tag or commit {name} in {self.origin.shown}", hint=hint)

    def _empty(self) -> ConfigError:
        return ConfigError(f"{self.origin.shown} has no commit yet", hint="git add . && git commit -m 'First'")


def _changed_paths(status: str) -> Iterator[str]:
    fields = iter(status.split("\0"))
    for field in fields:
        if field:
            yield field[3:]
        if "R" in field[:2] or "C" in field[:2]:
            # The name from before.
            next(fields, None)


def _origin(named: str, base: Path) -> Origin:
    if named.startswith("-"):
        raise ConfigError(f"source.repository: {named} is neither a path nor a URL")
    if not is_url(named):
        return LocalOrigin((base / Path(named).expanduser()).resolve())
    try:
        return RemoteOrigin(RemoteUrl.parse(named))
    except ValueError as error:
        raise ConfigError(f"source.repository: {error}") from error
