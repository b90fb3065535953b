"""Finds the commit of a run, and decides whether it needs one."""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import partial
from pathlib import Path

from pipeline.api import Checkout, NothingToDo, Plan, Revision, StageContext, Wanted
from pipeline.base.errors import ConfigError
from pipeline.base.watch import Watch
from pipeline.config.load import CommittedFile
from pipeline.config.models import Pipeline
from pipeline.config.triggers import Triggers
from pipeline.event_kinds import EventKind
from stages.source.checkout import GitCheckout
from stages.source.filters import matches_any
from stages.source.origin import LocalOrigin
from stages.source.repository import Repository
from stages.source.watcher import watch_refs


class GitSource:
    """Finds the run's commit."""

    def __init__(self) -> None:
        # A ref may move after the pipeline.yaml of its commit was read, so the commit is resolved once.
        self._resolved: tuple[Wanted, Repository, GitCheckout] | None = None

    def find(self, context: StageContext, wanted: Wanted) -> Checkout | NothingToDo:
        """Return the commit and its files, or why it needs no run."""
        repository, checkout = self._resolve(context, wanted)
        revision = checkout.revision
        if reason := _unchanged(context, wanted, repository, revision):
            return NothingToDo(revision, reason)
        # Only for a run by name. With a ref, the commit is certain, and the search is slow in a large working tree.
        if wanted.ref is None and (count := _uncommitted(context, repository, revision)):
            context.events.emit(EventKind.SOURCE_DIRTY, _describe_uncommitted(count), files=count)
        context.report(_describe(revision))
        return checkout

    def plan(self, context: StageContext, wanted: Wanted) -> Plan[Checkout]:
        """Return the commit that would be run, and why it would be skipped."""
        repository, checkout = self._resolve(context, wanted)
        steps = [f"run {_describe(checkout.revision)}"]
        if reason := _unchanged(context, wanted, repository, checkout.revision):
            steps.append(f"… but skip it: {reason}")
        if count := _uncommitted(context, repository, checkout.revision):
            steps.append(_describe_uncommitted(count))
        return Plan(steps, checkout)

    def patterns(self, context: StageContext) -> list[str]:
        """Return the refs that the triggers select, as git names them."""
        return _patterns(context.configuration.pipeline)

    def heads(self, context: StageContext, patterns: Sequence[str]) -> dict[str, str]:
        """Return the commit of every ref that matches a pattern."""
        found = _repository(context).heads(patterns)
        triggers, (branch, *others) = _triggers(context), _branches(context)
        if f"refs/heads/{branch}" in found and not triggers.tags:
            # If a branch and a tag have the same name, the branch counts.
            found.pop(f"refs/tags/{branch}", None)
        if not triggers.branches and {f"refs/heads/{branch}", f"refs/tags/{branch}"} & found.keys():
            for other in others:
                found.pop(f"refs/heads/{other}", None)
        # Other names cannot be typed or stored.
        return {ref: sha for ref, sha in found.items() if ref.isprintable()}

    def commits(self, context: StageContext, old: str | None, new: str) -> list[Revision]:
        """Return the commits that a ref gained by moving."""
        return _repository(context).commits(old, new)

    def gained(self, context: StageContext, old: str, new: str) -> list[Revision] | None:
        """Return the commits that `new` has and `old` has not, newest first."""
        return _repository(context).gained(old, new)

    def git_directory(self, context: StageContext) -> Path | None:
        """Return the path of the repository if it is on this machine."""
        origin = _repository(context).origin
        return Path(origin.location) if isinstance(origin, LocalOrigin) else None

    def watch(self, context: StageContext, moved: Callable[[], None]) -> AbstractContextManager[Watch]:
        """Call `moved` soon after a ref may have moved."""
        return watch_refs(Path(_repository(context).origin.location), moved)

    def pipeline_file(self, context: StageContext, wanted: Wanted) -> CommittedFile | None:
        """Return the pipeline.yaml of the commit."""
        repository, checkout = self._resolve(context, wanted)
        here = context.configuration.path.resolve()
        path = context.configuration.pipeline.source.file or repository.place_of(here) or "pipeline.yaml"
        content = checkout.read(path)
        if content is None:
            return None
        return CommittedFile(f"{checkout.revision.short}:{path}", content, partial(_read_beside, checkout, path))

    def _resolve(self, context: StageContext, wanted: Wanted) -> tuple[Repository, GitCheckout]:
        wish = replace(wanted, force=False)
        if self._resolved and self._resolved[0] == wish:
            return self._resolved[1:]
        repository = _repository(context)
        context.check_cancelled()
        names = (wanted.requested,) if wanted.requested else _branches(context)
        revision = repository.commit(wanted.sha, wanted.ref or names[0]) if wanted.sha else repository.resolve(*names)
        context.check_cancelled()
        checkout = repository.checkout(revision)
        self._resolved = wish, repository, checkout
        return repository, checkout


def _read_beside(checkout: GitCheckout, path: str, name: str) -> bytes | None:
    """Return a file of the commit by its path relative to another one. Raises `ConfigError` out of the repository."""
    place = posixpath.normpath(posixpath.join(posixpath.dirname(path), name))
    if place == ".." or place.startswith(("../", "/")):
        raise ConfigError(f"{name} is out of the repository", hint="name a file that the repository has")
    return checkout.read(place)


def _unchanged(context: StageContext, wanted: Wanted, repository: Repository, revision: Revision) -> str | None:
    paths = context.configuration.pipeline.source.paths
    active = context.store.releases.active(context.configuration.pipeline.name)
    if not paths or wanted.force or active is None:
        return None
    changed = repository.changed(active.sha, revision)
    if changed is None or matches_any(changed, paths):
        return None
    since = f"since release {active.number} (--force runs it)"
    return f"{revision.short} changes nothing under {', '.join(paths)} {since}"


def _branches(context: StageContext) -> tuple[str, ...]:
    return context.configuration.pipeline.source.branches


def _triggers(context: StageContext) -> Triggers:
    return context.configuration.pipeline.triggers


def _repository(context: StageContext) -> Repository:
    return Repository(
        context.configuration.pipeline.source.repository,
        context.configuration.directory,
        context.home.mirrors,
        lambda text: context.events.emit(EventKind.SOURCE_WARNING, text),
        context.cancelled,
    )


def _uncommitted(context: StageContext, repository: Repository, revision: Revision) -> int:
    # The run uses the pipeline.yaml on disk and its environment files, so changes in them are part of the run.
    configuration = context.configuration
    used = {file.resolve() for file in (configuration.path, *configuration.env_files)}
    return repository.uncommitted(revision, apart_from=used)


def _describe_uncommitted(count: int) -> str:
    files = "1 uncommitted change" if count == 1 else f"{count} uncommitted changes"
    return f"{files} in the checkout: not part of this run"


def _patterns(pipeline: Pipeline) -> list[str]:
    """Return the refs that `triggers` selects, as git names them. `source.branch` may also name a tag, or `HEAD`."""
    branches, tags, (branch, *others) = pipeline.triggers.branches, pipeline.triggers.tags, pipeline.source.branches
    if not branches and not tags and branch in ("HEAD", "@"):
        return ["HEAD"]
    full = [branch] if branch.startswith("refs/") else [f"refs/heads/{branch}", f"refs/tags/{branch}"]
    full += [f"refs/heads/{other}" for other in others]
    own = [] if branches else [ref for ref in full if not (tags and ref.startswith("refs/tags/"))]
    return [*own, *(f"refs/heads/{glob}" for glob in branches), *(f"refs/tags/{glob}" for glob in tags)]


def _describe(revision: Revision) -> str:
    return f"{revision.short} on {revision.ref}: {revision.subject} ({revision.author})"
