"""The submodules of a commit. Each has a mirror like any repository."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from urllib.parse import unquote

from pipeline.api import Revision
from pipeline.base.errors import ConfigError, PenstockError, StageFailed
from pipeline.base.git import GitFailed
from pipeline.base.remote_url import RemoteUrl, is_url, resolve_relative
from stages.source.mirror import Mirror
from stages.source.origin import LocalOrigin, Origin, RemoteOrigin

# With 0, as in `git submodule update`, git reads local repositories only if the user's configuration allows it.
_FROM_USER = "GIT_PROTOCOL_FROM_USER"


class Submodules:
    """The submodules of a commit. `modules` is the id of its .gitmodules, if it has one."""

    def __init__(self, mirror: Mirror, revision: Revision, modules: str | None) -> None:
        self._mirror = mirror
        self._revision = revision
        self._modules = modules

    def fetch(self, path: str, sha: str) -> tuple[Mirror, Revision]:
        """Return a mirror that has the commit of a submodule. Raises `PenstockError`, with the path."""
        try:
            mirror = self._with_commit(path, sha)
        except PenstockError as error:
            error.message = f"submodule {path} of commit {self._revision.short}: {error.message}"
            raise
        return mirror, replace(self._revision, sha=sha)

    def _with_commit(self, path: str, sha: str) -> Mirror:
        name = self._names.get(path)
        url = self._url(name) if name is not None else None
        if name is None or not url:
            raise StageFailed(
                ".gitmodules has no URL for it", hint=f"git submodule add URL {path}, or exclude it in .dockerignore"
            )
        if clone := next((clone for clone in self._clones(name) if clone.git.commit(sha)), None):
            mirror = self._mirror.of(clone)
        else:
            mirror = self._mirror.of(self._origin(url, from_user=self._setting(name) is not None))
        with mirror.locked():
            if not mirror.has(sha):
                with suppress(GitFailed):
                    mirror.keep(sha, sha)
            if not mirror.has(sha):
                mirror.fetch()
        if not mirror.has(sha):
            raise StageFailed(f"{mirror.origin.shown} has no commit {sha}", hint="push the submodule's commit")
        return mirror

    def _clones(self, name: str) -> Iterator[LocalOrigin]:
        """Yield the clones of a submodule that git keeps for the user. They may have commits of their own."""
        origin = self._mirror.origin
        if not isinstance(origin, LocalOrigin) or name.startswith("/") or ".." in name.split("/"):
            return
        # A linked worktree has its own.
        for folder in dict.fromkeys((origin.directory, origin.location)):
            with suppress(ConfigError):
                yield LocalOrigin(Path(folder, "modules", name))

    def _origin(self, url: str, *, from_user: bool) -> Origin:
        base = next((base for base in self._mirror.origin.bases if _exists(resolve_relative(url, base))), None)
        base = base or self._mirror.origin.bases[-1]
        found = resolve_relative(url, base)
        # A URL in a commit must not copy any repository of this machine into the image.
        allowed = from_user or (found != url and _is_beside(found, base))
        environment = {**self._mirror.origin.environment, _FROM_USER: "1" if allowed else "0"}
        if found.startswith("/"):
            return LocalOrigin(Path(found), environment, named_by=".gitmodules")
        if not is_url(found):
            raise StageFailed(f"its URL in .gitmodules is neither a URL nor an absolute path: {found}")
        try:
            return RemoteOrigin(RemoteUrl.parse(found), environment)
        except ValueError as error:
            raise StageFailed(f"its URL in .gitmodules is not valid: {error}") from error

    def _url(self, name: str) -> str | None:
        return self._setting(name) or self._settings.get(f"submodule.{name}.url")

    def _setting(self, name: str) -> str | None:
        """Return the URL of a submodule in the user's repository, if the submodule was initialised there."""
        origin = self._mirror.origin
        return origin.setting(f"submodule.{name}.url") if isinstance(origin, LocalOrigin) else None

    @property
    def _names(self) -> dict[str, str]:
        """The names of the submodules by their paths."""
        paths = {key: value.rstrip("/") for key, value in self._settings.items() if key.endswith(".path")}
        return {path: key.removeprefix("submodule.").removesuffix(".path") for key, path in paths.items()}

    @cached_property
    def _settings(self) -> dict[str, str]:
        if self._modules is None:
            return {}
        try:
            lines = self._mirror.git("config", "--blob", self._modules, "--list", "-z").split("\0")
        except GitFailed as error:
            raise StageFailed(f".gitmodules is not valid: {error}") from error
        return {key: value for key, _, value in (line.partition("\n") for line in lines)}


def _exists(address: str) -> bool:
    """Return False for a path that does not exist on this machine."""
    return is_url(address) or Path(address).exists()


def _is_beside(address: str, base: str) -> bool:
    """Return whether both are on this machine and the first is in the parent folder of the repository."""
    place, repository = _place(address), _place(base)
    return place is not None and repository is not None and place.is_relative_to(repository.parent)


def _place(address: str) -> Path | None:
    """Return the path of a repository on this machine, without symbolic links and `..`."""
    if address.startswith("file://"):
        # Git decodes it too.
        address = unquote(address.removeprefix("file://"))
    return Path(address).resolve() if address.startswith("/") else None
