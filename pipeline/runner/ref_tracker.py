"""New commits of a repository become runs, each commit once."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from itertools import islice

from pipeline.api import Revision, Source
from pipeline.base.errors import PenstockError
from pipeline.config.triggers import is_glob
from pipeline.event_kinds import EventKind
from pipeline.runner.context import PipelineContext
from pipeline.runner.stages import load_source
from pipeline.runner.submission import emit_run_state, submit
from pipeline.store.queue import RunRequest
from pipeline.store.records import Run, RunKind, RunOptions, RunState, Trigger
from pipeline.triggers.ref_names import is_object_name, is_ref
from pipeline.triggers.skip import skip_reason

_MAX_NAMED = 3


class RefTracker:
    """Compares the refs of one pipeline with the last scan and queues a run for each new commit."""

    def __init__(self, pipeline_context: Callable[[], PipelineContext], on_queued: Callable[[], None]) -> None:
        self._pipeline_context = pipeline_context
        self._on_queued = on_queued
        self._lock = threading.Lock()
        self._reported_no_refs = False

    def scan(self, trigger: Trigger) -> list[Run]:
        """Queue a run for each commit that a ref gained since the last scan. Raises as the Source stage does."""
        context = self._pipeline_context()
        source = load_source(context.configuration)
        with self._lock, context.masking_errors():
            stage_context = context.stage_context()
            patterns = source.patterns(stage_context)
            # Known first: `put` then refuses a ref that another scan queues in between. The other way round, that ref
            # would look deleted, and its commit would be queued twice.
            known = context.store.refs.heads(context.pipeline)
            heads = source.heads(stage_context, patterns)
            if not heads:
                # A repository that is being cloned again has no refs yet. Its commits must not run a second time.
                self._emit_no_refs(context)
            for ref in known.keys() - heads.keys() if heads else ():
                context.store.refs.delete_head(context.pipeline, ref)
            skipped = self._skip_existing(
                context, source, patterns, {r: sha for r, sha in heads.items() if r not in known}
            )
            moved = {r: sha for r, sha in heads.items() if r not in skipped and known.get(r) != sha}
            runs, failure = self._queue_runs(context, source, trigger, known, moved)
            self._resolve_queued(context, source)
        if runs:
            self._on_queued()
        if failure is not None:
            raise failure
        return runs

    def _queue_runs(
        self,
        context: PipelineContext,
        source: Source,
        trigger: Trigger,
        known: Mapping[str, str],
        moved: dict[str, str],
    ) -> tuple[list[Run], PenstockError | None]:
        """Queue the runs of the moved refs. Return them, and the error of a ref that could not be read."""
        runs, failure = [], None
        for ref, sha in moved.items():
            old = known.get(ref)
            try:
                revisions = source.commits(context.stage_context(), old, sha)
            except PenstockError as error:
                failure = error
                continue
            requests = [] if self._is_deployed_already(context, known, sha) else _requests(trigger, ref, revisions)
            runs += submit(context, requests, {ref: (old, sha)})
        return runs, failure

    def _resolve_queued(self, context: PipelineContext, source: Source) -> None:
        """Store the commits of queued runs that were requested by name, so that they replace older runs.

        A run whose commit cannot be found keeps its place, and reports the error in Source.
        """
        queue, mode = context.store.queue, context.configuration.pipeline.execution_mode
        for run in queue.unfinished(context.pipeline):
            if run.state is RunState.QUEUED and run.kind is RunKind.RUN and run.sha is None:
                with suppress(PenstockError):
                    names = (run.requested,) if run.requested else context.configuration.pipeline.source.branches
                    sha = next(filter(None, (_commit_of(context, source, name) for name in names)), None)
                    for ended in queue.resolve(context.pipeline, run.number, sha, mode) if sha else ():
                        emit_run_state(context, ended)

    def _skip_existing(
        self, context: PipelineContext, source: Source, patterns: list[str], unknown: Mapping[str, str]
    ) -> Mapping[str, str]:
        """Store the refs that are new only because a pattern was added, without running them, and return them.

        Otherwise a new tag pattern would run the tags of all old releases.
        """
        refs = context.store.refs
        if patterns == (previous := refs.patterns(context.pipeline)):
            return {}
        new = [p for p in patterns if p in previous or not is_glob(p)]
        expected = source.heads(context.stage_context(), new) if new and unknown else {}
        skipped = {ref: sha for ref, sha in unknown.items() if ref not in expected}
        submit(context, [], {ref: (None, sha) for ref, sha in skipped.items()})
        refs.set_patterns(context.pipeline, patterns)
        if skipped:
            names = [_short(ref) for ref in islice(skipped, _MAX_NAMED)]
            more = f" and {len(skipped) - len(names)} more" if len(skipped) > len(names) else ""
            text = f"not run: these refs existed before the triggers pattern matched them: {', '.join(names)}{more}"
            context.events().emit(EventKind.TRIGGER_REFS_SKIPPED, text, refs=len(skipped))
        return skipped

    def _emit_no_refs(self, context: PipelineContext) -> None:
        """Emit once that no ref matches. The cause is often a branch with another name."""
        pipeline = context.configuration.pipeline
        wanted = (*pipeline.triggers.branches, *pipeline.triggers.tags) or pipeline.source.branches
        if not self._reported_no_refs:
            text = f"nothing to run yet: the repository has no {' and no '.join(wanted)}"
            context.events().emit(EventKind.TRIGGER_NO_REFS, text)
        self._reported_no_refs = True

    def enqueue(self, request: RunRequest) -> list[Run]:
        """Queue a run without a new commit. Return it, or an empty list if it was left out."""
        runs = submit(self._pipeline_context(), [request])
        self._on_queued()
        return runs

    def _is_deployed_already(self, context: PipelineContext, known: Mapping[str, str], sha: str) -> bool:
        """Return True if this is the first scan and the commit is deployed already."""
        active = context.store.releases.active(context.pipeline)
        return not known and active is not None and active.sha == sha


def _commit_of(context: PipelineContext, source: Source, name: str) -> str | None:
    """Return the commit of a branch, else of a tag, else the commit with this full id. None if it is none of them."""
    branch, tag = f"refs/heads/{name}", f"refs/tags/{name}"
    patterns = ["HEAD"] if name == "HEAD" else [branch, tag] if is_ref(branch) and not is_glob(name) else []
    heads = source.heads(context.stage_context(), patterns) if patterns else {}
    return heads.get("HEAD") or heads.get(branch) or heads.get(tag) or (name if is_object_name(name) else None)


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
