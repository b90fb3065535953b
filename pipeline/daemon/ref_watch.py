"""The watch on the refs of a repository, renewed whenever the repository is replaced at its path."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import timedelta

from pipeline.base.errors import PenstockError, SystemFault
from pipeline.base.watch import Watch
from pipeline.event_kinds import EventKind
from pipeline.runner.context import PipelineContext
from pipeline.runner.stages import load_source
from pipeline.store.records import Trigger

_REMOTE_INTERVAL = timedelta(minutes=1)
# A watch may miss a change, so the refs are listed at least this often.
_FALLBACK_INTERVAL = timedelta(minutes=1)
UNWATCHED_INTERVAL = timedelta(seconds=2)
# A folder that is removed or moved is reported, also with a folder above it. A changed symbolic link is not.
_INTACT_INTERVAL = timedelta(seconds=10)


@dataclass(frozen=True)
class Scans:
    """The interval of scans that no trigger requests, and the trigger that they count as."""

    interval: timedelta
    trigger: Trigger


class RefWatch:
    """Watches the refs of one pipeline's repository if it is on this machine."""

    def __init__(self, pipeline_context: Callable[[], PipelineContext], moved: Callable[[], None]) -> None:
        self._pipeline_context = pipeline_context
        self._moved = moved
        self._stack = ExitStack()
        self._watch: Watch | None = None
        self._is_lost = False

    def close(self) -> None:
        """End the watch. Safe to repeat."""
        self._stack.close()

    @property
    def check_interval(self) -> timedelta | None:
        """The interval in which `renew` has to be called. None if nothing is watched."""
        if self._is_lost:
            return UNWATCHED_INTERVAL
        return _INTACT_INTERVAL if self._watch is not None else None

    def stamp(self) -> int | None:
        """Return a value that changes when a ref moves, also if the watch misses it. None if nothing is watched."""
        return self._watch.stamp() if self._watch is not None else None

    def start(self) -> Scans:
        """Watch the repository if possible. Raises as the Source stage does if there is no repository."""
        pipeline_context = self._pipeline_context()
        source = load_source(pipeline_context.configuration)
        triggers, context = pipeline_context.configuration.pipeline.triggers, pipeline_context.stage_context()
        if source.git_directory(context) is None:
            return Scans(triggers.poll or _REMOTE_INTERVAL, Trigger.POLL)
        if triggers.watch:
            try:
                self._watch = self._stack.enter_context(source.watch(context, self._moved))
            except (SystemFault, OSError) as error:
                if isinstance(error, OSError) and self._is_lost:
                    raise
                seconds = UNWATCHED_INTERVAL.total_seconds()
                text = f"cannot watch the repository, polling every {seconds:g} s instead: {error}"
                pipeline_context.events().emit(EventKind.TRIGGER_POLLING, text)
                return Scans(min(triggers.poll or UNWATCHED_INTERVAL, UNWATCHED_INTERVAL), Trigger.POLL)
        return Scans(triggers.poll or _FALLBACK_INTERVAL, Trigger.POLL if triggers.poll else Trigger.WATCH)

    def renew(self) -> Scans | None:
        """Renew a watch that has ended. Return how often to scan from now on, or None if nothing changed."""
        if not self._is_lost:
            if self._watch is None or self._watch.is_intact():
                return None
            self._is_lost = True
            self._watch = None
            self._stack.close()
            text = "a folder of the repository was removed or replaced: watching it again as soon as it is there"
            self._pipeline_context().events().emit(EventKind.TRIGGER_WATCH_LOST, text)
        try:
            scans = self.start()
        except (PenstockError, OSError):
            # It does not exist yet, or is incomplete.
            return None
        self._is_lost = False
        return scans
