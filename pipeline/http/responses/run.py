"""A run, as the control API and `--json` show it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Self

from pydantic import Field

from pipeline.http.responses.body import Body, Timestamp
from pipeline.store import records
from pipeline.store.records import RunKind, RunState, StageState, Trigger


class StageResponse(Body):
    """A stage of a run."""

    pipeline: str = Field(description="The pipeline's name.")
    run: int = Field(description="The run's number.")
    name: str = Field(description="`source`, `build` or `deploy`.")
    state: StageState = Field(description="Current state.")
    summary: str = Field(description="The result in one line, or the reason of a failure.")
    started_at: Timestamp = Field(description="Start of the stage.")
    finished_at: Timestamp | None = Field(description="End of the stage.")


class ApprovalResponse(Body):
    """The decision about a run that waited for approval."""

    granted: bool = Field(description="True if the run was approved, false if it was rejected.")
    by: str = Field(description="The person who decided.")
    comment: str = Field(description="The person's reason.")
    at: Timestamp = Field(description="Time of the decision.")


class RunResponse(Body):
    """A run with its stages."""

    pipeline: str = Field(description="The pipeline's name.")
    number: int = Field(description="The run's number, counted per pipeline.")
    kind: RunKind = Field(description="The work of the run.")
    state: RunState = Field(description="Current state.")
    requested: str | None = Field(description="The requested branch, tag, commit or release.")
    sha: str | None = Field(description="The commit.")
    ref: str | None = Field(description="The branch or tag that led to the commit.")
    author: str | None = Field(description="The commit's author.")
    subject: str | None = Field(description="The first line of the commit's message.")
    release: int | None = Field(description="The release that the run created or deployed.")
    reason: str = Field(description="The reason of the outcome.")
    started_at: Timestamp = Field(description="Start of the run. Until then, the time of queueing.")
    finished_at: Timestamp | None = Field(description="End of the run.")
    pid: int = Field(description="The latest process that executed the run; 0 before the first.")
    trigger: Trigger = Field(description="The origin of the run.")
    queued_at: Timestamp | None = Field(description="Time of queueing; null if a command executed the run directly.")
    options: dict[str, Any] = Field(
        description="Options of the request: `configuration`, `parameters`, `force` and others."
    )
    superseded_by: int | None = Field(description="The newer run that replaced it.")
    retry_of: int | None = Field(description="The run that this one repeats.")
    attempts: int = Field(description="How often a process started to execute the run.")
    waits_for: str | None = Field(description="The reason why the run cannot enter its next stage.")
    approval: ApprovalResponse | None = Field(description="The decision, if the run waited for approval.")
    image_id: str | None = Field(description="The image that the run uses.")
    by: str | None = Field(description="The user who requested it; null if a trigger did.")
    cancelled_by: str | None = Field(description="The user who cancelled it.")
    stages: list[StageResponse] = Field(description="The stages that have started, in order.")

    @classmethod
    def from_run(cls, run: records.Run, stages: Iterable[records.StageRecord]) -> Self:
        """Return the response for a run of the store."""
        shown = [StageResponse.model_validate(stage) for stage in stages]
        return cls.model_validate({**vars(run), "options": run.options.to_json(), "stages": shown})


class TestsResponse(Body):
    """The result of a run's tests, from their reports."""

    tests: int = Field(description="The number of tests.")
    failed: int = Field(description="The number of failed ones, and of failures outside of the tests.")
    skipped: int = Field(description="The number of skipped ones.")
    failures: list[str] = Field(description="The names of the failed ones, at most 100.")


class RunDetailResponse(RunResponse):
    """A run with its stages and the result of its tests."""

    tests: TestsResponse | None = Field(description="The result of the tests; null if they wrote no report.")

    @classmethod
    def of(cls, run: records.Run, stages: Iterable[records.StageRecord], tests: TestsResponse | None) -> Self:
        """Return a run of the store, and the result of its tests."""
        return cls(**vars(RunResponse.from_run(run, stages)), tests=tests)


class HistoryResponse(RunResponse):
    """A run of the history, with the strategy of its deployment."""

    strategy: str | None = Field(description="How its deployment moved the traffic; null if it deployed nothing.")

    @classmethod
    def of(cls, run: records.Run, stages: Iterable[records.StageRecord], strategy: str | None) -> Self:
        """Return a run of the store, and the strategy of its deployment."""
        return cls(**vars(RunResponse.from_run(run, stages)), strategy=strategy)


class LastRunResponse(Body):
    """A summary of the latest finished run."""

    number: int
    state: RunState
    reason: str


class UnfinishedRunResponse(Body):
    """A summary of an unfinished run."""

    number: int
    kind: RunKind
    state: RunState
    sha: str | None
    stage: str | None
    waits_for: str | None
