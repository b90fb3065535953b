"""From a branch, a tag or a commit id to a revision, and whether it has to be run at all."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from pipeline.api import Outcome, Revision, StageContext
from pipeline.config.load import CommittedFile
from pipeline.config.models import Pipeline
from pipeline.event_kinds import EventKind
from stages.source.filters import matches_any
from stages.source.git import is_url
from stages.source.repository import Repository
from stages.source.watcher import watch_refs


class GitSource:
    """Finds the run's commit."""

    name = "source"

    def run(self, context: StageContext) -> Outcome:
        """Sets `work.revision` and `work.snapshot`."""
        repository, revision = self._resolve(context)
        if reason := self._unchanged(context, repository, revision):
            return Outcome(reason, go_on=False)
        # A commit that came by itself leaves nobody in doubt, and to look takes long where there are many files.
        if context.sha is None:
            _tell_of_changes(context, repository, revision)
        return Outcome(_describe(revision))

    def plan(self, context: StageContext) -> list[str]:
        """Which commit would be run, and whether it would."""
        repository, revision = self._resolve(context)
        reason = self._unchanged(context, repository, revision)
        return [f"run {_describe(revision)}", *([f"… or rather not: {reason}"] if reason else [])]

    def patterns(self, context: StageContext) -> list[str]:
        """What the triggers mean, as git names it."""
        return _patterns(context.configuration.pipeline)

    def heads(self, context: StageContext, patterns: Sequence[str]) -> dict[str, str]:
        """The commit of every ref that one of them means."""
        found = _repository(context).heads(patterns)
        branch = context.configuration.pipeline.source.branch
        if f"refs/heads/{branch}" in found and not context.configuration.pipeline.triggers.tags:
            # Where a branch and a tag have the one name, the branch is meant.
            found.pop(f"refs/tags/{branch}", None)
        # Which nobody can type, and no database keeps.
        return {ref: sha for ref, sha in found.items() if ref.isprintable()}

    def commits(self, context: StageContext, old: str | None, new: str) -> list[Revision]:
        """What a ref got by moving."""
        return _repository(context).commits(old, new)

    def git_directory(self, context: StageContext) -> Path | None:
        """Where the repository is on this machine."""
        location = _repository(context).location
        return None if is_url(location) else Path(location)

    def watch(self, context: StageContext, moved: Callable[[], None]) -> AbstractContextManager[None]:
        """Call `moved` soon after a ref may have moved."""
        return watch_refs(Path(_repository(context).location), moved)

    def pipeline_file(self, context: StageContext) -> CommittedFile | None:
        """The pipeline.yaml of the run's commit, which is found by this."""
        repository, revision = self._resolve(context)
        here = context.configuration.path.resolve()
        path = context.configuration.pipeline.source.file or repository.place_of(here) or "pipeline.yaml"
        assert context.work.snapshot is not None
        content = context.work.snapshot.read(path)
        return CommittedFile(f"{revision.short}:{path}", content) if content is not None else None

    def _resolve(self, context: StageContext) -> tuple[Repository, Revision]:
        repository, source = _repository(context), context.configuration.pipeline.source
        if context.work.revision is not None:
            return repository, context.work.revision
        context.check_cancelled()
        wanted = context.requested or source.branch
        revision = repository.commit(context.sha, context.ref or wanted) if context.sha else repository.resolve(wanted)
        context.check_cancelled()
        context.work.revision = revision
        context.work.snapshot = repository.snapshot(revision)
        return repository, revision

    def _unchanged(self, context: StageContext, repository: Repository, revision: Revision) -> str | None:
        paths = context.configuration.pipeline.source.paths
        serving = context.store.releases.active(context.configuration.pipeline.name)
        if not paths or context.force or serving is None:
            return None
        changed = repository.changed(serving.sha, revision)
        if changed is None or matches_any(changed, paths):
            return None
        since = f"since release {serving.number} (--force runs it)"
        return f"{revision.short} changes nothing under {', '.join(paths)} {since}"


def _repository(context: StageContext) -> Repository:
    return Repository(
        context.configuration.pipeline.source.repository,
        context.configuration.directory,
        context.home.mirrors,
        lambda text: context.events.emit(EventKind.SOURCE_WARNING, text),
        context.cancelled,
    )


def _tell_of_changes(context: StageContext, repository: Repository, revision: Revision) -> None:
    # The pipeline.yaml is read as it is: what changed in it is part of the run.
    if count := repository.uncommitted(revision, apart_from=context.configuration.path.resolve()):
        files = "1 uncommitted change" if count == 1 else f"{count} uncommitted changes"
        context.events.emit(EventKind.SOURCE_DIRTY, f"{files} in the checkout: not part of this run", files=count)


def _patterns(pipeline: Pipeline) -> list[str]:
    """What `triggers` means, as git names it. What `source.branch` names may also be a tag, or what is checked out."""
    branches, tags, branch = pipeline.triggers.branches, pipeline.triggers.tags, pipeline.source.branch
    if not branches and not tags and branch == "HEAD":
        return ["HEAD"]
    own = [] if branches else [f"refs/heads/{branch}", *([] if tags else [f"refs/tags/{branch}"])]
    return [*own, *(f"refs/heads/{glob}" for glob in branches), *(f"refs/tags/{glob}" for glob in tags)]


def _describe(revision: Revision) -> str:
    return f"{revision.short} on {revision.ref}: {revision.subject} ({revision.author})"
