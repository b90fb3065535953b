"""From a branch, a tag or a commit id to a revision, and whether it has to be run at all."""

from __future__ import annotations

from pipeline.api import Outcome, Revision, StageContext
from stages.source.filters import touches
from stages.source.repository import Repository


class SourceStage:
    """Finds the run's commit."""

    name = "source"

    def run(self, context: StageContext) -> Outcome:
        """Sets `work.revision` and `work.snapshot`."""
        repository, revision = self._resolve(context)
        if reason := self._unchanged(context, repository, revision):
            return Outcome(reason, go_on=False)
        # The pipeline.yaml is read as it is: what changed in it is part of the run.
        if count := repository.uncommitted(revision, apart_from=context.configuration.path.resolve()):
            files = "1 uncommitted change" if count == 1 else f"{count} uncommitted changes"
            context.events.emit("source.dirty", f"{files} in the checkout: not part of this run", files=count)
        return Outcome(_describe(revision))

    def plan(self, context: StageContext) -> list[str]:
        """Which commit would be run, and whether it would."""
        repository, revision = self._resolve(context)
        reason = self._unchanged(context, repository, revision)
        return [f"run {_describe(revision)}", *([f"… or rather not: {reason}"] if reason else [])]

    def _resolve(self, context: StageContext) -> tuple[Repository, Revision]:
        source = context.configuration.pipeline.source
        repository = Repository(
            source.repository,
            context.configuration.directory,
            context.home.mirrors,
            lambda text: context.events.emit("source.warning", text),
        )
        context.check_cancelled()
        revision = repository.resolve(context.requested or source.branch)
        context.check_cancelled()
        context.work.revision = revision
        context.work.snapshot = repository.snapshot(revision)
        return repository, revision

    def _unchanged(self, context: StageContext, repository: Repository, revision: Revision) -> str | None:
        paths = context.configuration.pipeline.source.paths
        serving = context.store.active_release(context.configuration.pipeline.name)
        if not paths or context.force or serving is None:
            return None
        changed = repository.changed(serving.sha, revision)
        if changed is None or touches(changed, paths):
            return None
        since = f"since release {serving.number} (--force runs it)"
        return f"{revision.short} changes nothing under {', '.join(paths)} {since}"


def _describe(revision: Revision) -> str:
    return f"{revision.short} on {revision.ref}: {revision.subject} ({revision.author})"
