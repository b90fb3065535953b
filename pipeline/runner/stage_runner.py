"""One stage of a run: the gates before it, its row and its events."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import TypeVar

from pipeline.api import StageContext
from pipeline.base.errors import Cancelled, PenstockError
from pipeline.event_kinds import EventKind
from pipeline.runner.gates import pass_gates
from pipeline.store.records import Run, StageState

LockFactory = Callable[[], AbstractContextManager[None]]
_Made = TypeVar("_Made")


class StageRunner:
    """Runs the stages of one run. `deploy_lock` is held in Deploy, so that no repair moves targets meanwhile."""

    def __init__(self, run: Run, mask: Callable[[str], str], deploy_lock: LockFactory = nullcontext) -> None:
        self._run = run
        self._mask = mask
        self._deploy_lock = deploy_lock

    def run(self, context: StageContext, name: str, work: Callable[[StageContext], _Made]) -> _Made:
        """Run a stage and return what it made. Its row and its last event are written before this returns or raises."""
        pass_gates(context, self._run, name)
        context.events.emit(EventKind.STAGE_STARTED, f"{name.capitalize()} …", stage=name)
        reported = [""]
        try:
            with self._deploy_lock() if name == "deploy" else nullcontext():
                made = work(replace(context, report=reported.append))
        except BaseException as error:
            self._fail(context, name, error)
            raise
        self._finish(context, name, self._mask(reported[-1]))
        return made

    def _fail(self, context: StageContext, name: str, error: BaseException) -> None:
        state = StageState.CANCELLED if isinstance(error, Cancelled) else StageState.FAILED
        text = self._mask(error.message if isinstance(error, PenstockError) else repr(error))
        context.store.runs.finish_stage(self._run.pipeline, self._run.number, name, state, text)
        context.events.emit(EventKind.STAGE_FAILED, f"{name.capitalize()} {state}", stage=name)

    def _finish(self, context: StageContext, name: str, summary: str) -> None:
        runs, pipeline, number = context.store.runs, self._run.pipeline, self._run.number
        runs.finish_stage(pipeline, number, name, StageState.SUCCEEDED, summary)
        record = next(s for s in runs.stages(pipeline, number) if s.name == name)
        seconds = round(record.duration.total_seconds(), 3)
        text = f"{name.capitalize()}: {summary} ({seconds:.1f} s)"
        context.events.emit(EventKind.STAGE_FINISHED, text, stage=name, seconds=seconds)
