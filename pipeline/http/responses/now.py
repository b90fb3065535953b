"""What all pipelines are doing now, as the control API and `--json` show it."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from pipeline.http.responses.body import Body, Timestamp
from pipeline.http.responses.event import EventResponse

Answer = Literal["approve", "reject", "promote", "abort", "enable", "retry", "cancel"]


class ActivityResponse(Body):
    """Something that is being done."""

    run: int = Field(description="The run's number.")
    kind: str = Field(description="The work of the run.")
    text: str = Field(description="What it does or waits for, in words.")
    is_waiting: bool = Field(description="True if it waits: in the queue, for a user or for a bake time.")
    since: Timestamp = Field(description="Its start, or the time when it was queued.")
    answers: list[Answer] = Field(description="What a user can do about it.")


class QuestionResponse(Body):
    """Something that waits for a user."""

    kind: Literal["approval", "promotion", "transition", "failure"]
    text: str = Field(description="What waits and why, in words.")
    run: int | None = Field(description="The run that waits; null for a transition.")
    service: str | None = Field(description="The service whose deployment waits.")
    stage: str | None = Field(description="The stage whose transition is disabled.")
    answers: list[Answer] = Field(description="The answers, the usual one first.")


class PipelineNowResponse(Body):
    """A pipeline at this moment."""

    pipeline: str = Field(description="The pipeline's name.")
    state: Literal["healthy", "degraded", "unhealthy", "unused"] = Field(
        description="`degraded`: some targets are missing or not healthy. `unused`: nothing is deployed."
    )
    sentence: str = Field(description="What serves, in words. During a canary, each release is counted by itself.")
    urls: list[str] = Field(description="The URLs of its listeners, as clients on this machine reach them.")
    release: int | None = Field(description="The active release.")
    sha: str | None = Field(description="Its commit.")
    subject: str | None = Field(description="The first line of the commit's message.")
    healthy: int = Field(description="Healthy targets.")
    targets: int = Field(
        description="Targets that there should be. During a deployment, all that have passed their health checks."
    )
    draining: int = Field(description="Targets that finish their requests.")
    in_flight: int = Field(description="Requests and connections in progress.")
    activities: list[ActivityResponse] = Field(description="Unfinished runs, oldest first.")
    questions: list[QuestionResponse] = Field(description="What waits for a user.")
    problems: list[str] = Field(description="Differences from the active release, and damage, in words.")


class NowResponse(Body):
    """The pipelines of the daemon at this moment."""

    pipelines: list[PipelineNowResponse]
    events: list[EventResponse] = Field(description="The latest events of all pipelines, newest first.")
