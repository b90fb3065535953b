"""The timeline of a run: what it did when, as the control API and `--json` show it."""

from __future__ import annotations

from enum import StrEnum

from pydantic import Field

from pipeline.http.responses.body import Body, Timestamp
from pipeline.store.records import RunKind, RunState, StageState


class TargetPhase(StrEnum):
    """A phase of a container during a deployment.

    `starting` until it is registered, `initial` until its health checks pass, `healthy` while it gets requests.
    `draining` finishes its requests, `stopping` got its stop signal, `stopped` has exited. `failed` was never healthy.
    """

    STARTING = "starting"
    INITIAL = "initial"
    HEALTHY = "healthy"
    UNHEALTHY = "unhealthy"
    DRAINING = "draining"
    STOPPING = "stopping"
    STOPPED = "stopped"
    FAILED = "failed"


class TimelineStage(Body):
    """A stage of the run."""

    name: str = Field(description="`source`, `build` or `deploy`.")
    state: StageState = Field(description="Current state.")
    summary: str = Field(description="The result in one line, or the reason of a failure.")
    started_at: Timestamp = Field(description="Start of the stage.")
    finished_at: Timestamp | None = Field(description="End of the stage.")


class TimelineStep(Body):
    """A step within a stage, such as the build of the image, the tests, the release command or a hook."""

    stage: str = Field(description="The stage.")
    name: str = Field(description="The step, in words.")
    started_at: Timestamp = Field(description="Start of the step.")
    finished_at: Timestamp | None = Field(description="End of the step.")


class LanePhase(Body):
    """The time that a container was in one phase."""

    phase: TargetPhase = Field(description="The phase.")
    started_at: Timestamp = Field(description="Start of the phase. Before the rollout, its start.")
    finished_at: Timestamp | None = Field(description="End of the phase; null if it goes on.")


class Lane(Body):
    """One container during the run."""

    target: str = Field(description="The container's name.")
    release: int = Field(description="The release that it was started for; 0 if it is not known.")
    phases: list[LanePhase] = Field(description="Its phases, in order.")


class HealthyPoint(Body):
    """A change of the number of healthy targets of a service."""

    at: Timestamp = Field(description="Time of the change.")
    healthy: int = Field(description="Healthy targets from now on.")
    floor: int = Field(description="The lowest number that the rollout may cause.")


class SharePoint(Body):
    """A change of the share of the requests that the new release gets."""

    at: Timestamp = Field(description="Time of the change.")
    share: float = Field(description="Percentage of the requests that the new release gets from now on.")
    step: int | None = Field(description="The step of the strategy, from 1; null outside of the steps.")
    bake_time: float = Field(description="Seconds that this share is kept at least; 0 without a bake time.")


class TimelineAlarm(Body):
    """A condition of `rollback_on` or `mirror`, as it was evaluated last."""

    condition: int = Field(description="Its place in the list of the service, from 1.")
    release: int = Field(description="The release that is judged.")
    state: str = Field(description="OK, ALARM or INSUFFICIENT_DATA, as CloudWatch has them.")
    text: str = Field(description="Its numbers, and what it still needs.")
    needed: int | None = Field(description="About the number of requests until it can decide; null if not known.")
    since: Timestamp = Field(description="Start of this state.")
    evaluated_at: Timestamp = Field(description="Time of the numbers.")


class TimelineService(Body):
    """What the run did with the containers of one service."""

    name: str = Field(description="The service.")
    release: int = Field(description="The release to which it moved last; 0 for none.")
    replicas: int | None = Field(description="The wanted number of containers; null if it is not known.")
    lanes: list[Lane] = Field(description="The containers, those that were there first at the top.")
    healthy: list[HealthyPoint] = Field(description="The number of healthy targets over time.")
    shares: list[SharePoint] = Field(description="The share of the requests of the new release. Empty if none moves.")
    alarms: list[TimelineAlarm] = Field(description="The conditions that are evaluated.")


class TimelineWait(Body):
    """A time in which the run waited for something or somebody."""

    what: str = Field(description="What it waited for: `approval`, `queue`, `promote` or `stage`.")
    text: str = Field(description="The reason, in words.")
    service: str | None = Field(description="The service of a deployment that waits.")
    started_at: Timestamp = Field(description="Start of the wait.")
    finished_at: Timestamp | None = Field(description="End of the wait; null if it goes on.")
    by: str | None = Field(description="The user who ended it, if one did.")


class TimelineMark(Body):
    """A moment that explains what follows, such as an approval, a failure or the start of a rollback."""

    at: Timestamp = Field(description="Time of the event.")
    kind: str = Field(description="The kind of event.")
    text: str = Field(description="Its message.")
    by: str | None = Field(description="The user who did it, if one did.")


class TimelineResponse(Body):
    """What a run did when. Times are those of the wall clock of the machine."""

    pipeline: str = Field(description="The pipeline's name.")
    run: int = Field(description="The run's number.")
    kind: RunKind = Field(description="The work of the run.")
    state: RunState = Field(description="Current state.")
    by: str | None = Field(description="The user who requested the run.")
    queued_at: Timestamp | None = Field(description="Time of queueing; null if a command executed it directly.")
    started_at: Timestamp = Field(description="Start of the run. Until then, the time of queueing.")
    finished_at: Timestamp | None = Field(description="End of the run.")
    stages: list[TimelineStage] = Field(description="The stages that have started, in order.")
    steps: list[TimelineStep] = Field(description="The steps within the stages, in order.")
    services: list[TimelineService] = Field(description="The services whose containers the run replaced.")
    waits: list[TimelineWait] = Field(description="What the run waited for.")
    marks: list[TimelineMark] = Field(description="Moments that explain what follows.")
    last_event: int = Field(description="The id of the last event that it is made from; 0 without one.")
