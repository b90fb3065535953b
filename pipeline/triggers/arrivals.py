"""What is new in a repository becomes runs: each commit once, whoever noticed it, and none left out."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

from pipeline.api import Revision
from pipeline.errors import PenstockError
from pipeline.runs.execution import CONFIGURATION
from pipeline.runs.stages import load_source
from pipeline.runs.submission import submit
from pipeline.runs.workshop import Workshop
from pipeline.store.queue import Request
from pipeline.store.records import Run, Trigger
from pipeline.triggers.skip import skip_reason


class Arrivals:
    """Looks at the refs of one pipeline. Whatever triggers a look, it means no more than: see what is there now."""

    def __init__(self, workshop: Callable[[], Workshop], arrived: Callable[[], None]) -> None:
        self._workshop = workshop
        self._arrived = arrived
        self._lock = threading.Lock()
        self._told_nothing = False

    def look(self, trigger: Trigger) -> list[Run]:
        """Queue a run for each commit that has come to a ref since the last look. Raises as the Source stage does."""
        workshop, source = self._workshop(), load_source()
        with self._lock, workshop.masked():
            context = workshop.context()
            heads, known = source.heads(context), workshop.store.queue.heads(workshop.pipeline)
            for ref in known.keys() - heads.keys():
                workshop.store.queue.forget_head(workshop.pipeline, ref)
            if not heads:
                self._tell_nothing(workshop)
            runs, failure = [], None
            for ref, sha in heads.items():
                old = known.get(ref)
                if old == sha:
                    continue
                try:
                    revisions = source.commits(context, old, sha)
                except PenstockError as error:
                    # One that cannot be read keeps no other out.
                    failure = error
                    continue
                requests = [] if self._is_known(workshop, known, sha) else _requests(trigger, ref, revisions)
                runs += submit(workshop, requests, {ref: (old, sha)})
        if runs:
            self._arrived()
        if failure is not None:
            raise failure
        return runs

    def _tell_nothing(self, workshop: Workshop) -> None:
        """Say once that nothing of what is run is there: a branch that is called otherwise is easily overlooked."""
        pipeline = workshop.configuration.pipeline
        wanted = (*pipeline.triggers.branches, *pipeline.triggers.tags) or (pipeline.source.branch,)
        if not self._told_nothing:
            text = f"nothing to run yet: the repository has no {' and no '.join(wanted)}"
            workshop.events().emit("trigger.waiting", text)
        self._told_nothing = True

    def ask(self, request: Request) -> None:
        """Queue a run though nothing is new."""
        submit(self._workshop(), [request])
        self._arrived()

    def _is_known(self, workshop: Workshop, known: dict[str, str], sha: str) -> bool:
        """Whether this is the first look at all, and what is there serves already."""
        active = workshop.store.active_release(workshop.pipeline)
        return not known and active is not None and active.sha == sha


def _requests(trigger: Trigger, ref: str, revisions: Sequence[Revision]) -> list[Request]:
    return [
        Request(
            trigger,
            sha=revision.sha,
            ref=ref.removeprefix("refs/heads/").removeprefix("refs/tags/"),
            author=revision.author,
            subject=revision.subject,
            options={CONFIGURATION: "commit"},
            skipped=skip_reason(revision.message) or "",
        )
        for revision in revisions
    ]
