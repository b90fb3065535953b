"""What is new in a repository becomes runs: each commit once, whoever noticed it, and none left out."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from itertools import islice

from pipeline.api import Revision, Source
from pipeline.base.errors import PenstockError
from pipeline.config.triggers import is_glob
from pipeline.event_kinds import EventKind
from pipeline.runner.context import PipelineContext
from pipeline.runner.stages import load_source
from pipeline.runner.submission import submit
from pipeline.store.queue import RunRequest
from pipeline.store.records import Run, RunOptions, Trigger
from pipeline.triggers.skip import skip_reason

_MOST_NAMED = 3


class RefTracker:
    """Looks at the refs of one pipeline. Whatever triggers a look, it means no more than: see what is there now."""

    def __init__(self, pipeline_context: Callable[[], PipelineContext], arrived: Callable[[], None]) -> None:
        self._pipeline_context = pipeline_context
        self._arrived = arrived
        self._lock = threading.Lock()
        self._told_nothing = False

    def scan(self, trigger: Trigger) -> list[Run]:
        """Queue a run for each commit that has come to a ref since the last look. Raises as the Source stage does."""
        pipeline_context, source = self._pipeline_context(), load_source()
        with self._lock, pipeline_context.masking_errors():
            context = pipeline_context.stage_context()
            patterns = source.patterns(context)
            heads, known = source.heads(context, patterns), pipeline_context.store.refs.heads(pipeline_context.pipeline)
            for ref in known.keys() - heads.keys():
                pipeline_context.store.refs.delete_head(pipeline_context.pipeline, ref)
            if not heads:
                self._tell_nothing(pipeline_context)
            skipped = self._skip_existing(
                pipeline_context, source, patterns, {r: sha for r, sha in heads.items() if r not in known}
            )
            moved = {r: sha for r, sha in heads.items() if r not in skipped and known.get(r) != sha}
            runs, failure = self._take(pipeline_context, source, trigger, known, moved)
        if runs:
            self._arrived()
        if failure is not None:
            raise failure
        return runs

    def _take(
        self,
        pipeline_context: PipelineContext,
        source: Source,
        trigger: Trigger,
        known: Mapping[str, str],
        moved: dict[str, str],
    ) -> tuple[list[Run], PenstockError | None]:
        """The runs of what refs have got. One that cannot be read keeps no other out, and is what went wrong."""
        runs, failure = [], None
        for ref, sha in moved.items():
            old = known.get(ref)
            try:
                revisions = source.commits(pipeline_context.stage_context(), old, sha)
            except PenstockError as error:
                failure = error
                continue
            requests = [] if self._is_known(pipeline_context, known, sha) else _requests(trigger, ref, revisions)
            runs += submit(pipeline_context, requests, {ref: (old, sha)})
        return runs, failure

    def _skip_existing(
        self, pipeline_context: PipelineContext, source: Source, patterns: list[str], strange: Mapping[str, str]
    ) -> Mapping[str, str]:
        """What is strange only because a glob has come to mean it: all old releases' tags, say. It is not run."""
        refs = pipeline_context.store.refs
        if patterns == (former := refs.patterns(pipeline_context.pipeline)):
            return {}
        new = [p for p in patterns if p in former or not is_glob(p)]
        expected = source.heads(pipeline_context.stage_context(), new) if new and strange else {}
        skipped = {ref: sha for ref, sha in strange.items() if ref not in expected}
        submit(pipeline_context, [], {ref: (None, sha) for ref, sha in skipped.items()})
        refs.set_patterns(pipeline_context.pipeline, patterns)
        if skipped:
            names = [_short(ref) for ref in islice(skipped, _MOST_NAMED)]
            more = f" and {len(skipped) - len(names)} more" if len(skipped) > len(names) else ""
            text = f"there already when a glob in triggers came to mean them, so not run: {', '.join(names)}{more}"
            pipeline_context.events().emit(EventKind.TRIGGER_REFS_SKIPPED, text, refs=len(skipped))
        return skipped

    def _tell_nothing(self, pipeline_context: PipelineContext) -> None:
        """Say once that nothing of what is run is there: a branch that is called otherwise is easily overlooked."""
        pipeline = pipeline_context.configuration.pipeline
        wanted = (*pipeline.triggers.branches, *pipeline.triggers.tags) or (pipeline.source.branch,)
        if not self._told_nothing:
            text = f"nothing to run yet: the repository has no {' and no '.join(wanted)}"
            pipeline_context.events().emit(EventKind.TRIGGER_NO_REFS, text)
        self._told_nothing = True

    def enqueue(self, request: RunRequest) -> None:
        """Queue a run though nothing is new."""
        submit(self._pipeline_context(), [request])
        self._arrived()

    def _is_known(self, pipeline_context: PipelineContext, known: Mapping[str, str], sha: str) -> bool:
        """Whether this is the first look at all, and what is there serves already."""
        active = pipeline_context.store.releases.active(pipeline_context.pipeline)
        return not known and active is not None and active.sha == sha


def _short(ref: str) -> str:
    return ref.removeprefix("refs/heads/").removeprefix("refs/tags/")


def _requests(trigger: Trigger, ref: str, revisions: Sequence[Revision]) -> list[RunRequest]:
    return [
        RunRequest(
            trigger,
            sha=revision.sha,
            ref=_short(ref),
            author=revision.author,
            subject=revision.subject,
            options=RunOptions(configuration="commit"),
            skip_reason=skip_reason(revision.message) or "",
        )
        for revision in revisions
    ]
