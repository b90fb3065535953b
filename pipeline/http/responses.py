"""Response models of the control API and of `--json`, separate from the rows of the database."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, PlainSerializer, WithJsonSchema

from pipeline.events import Event
from pipeline.store import records
from pipeline.store.deployment_progress import ServiceProgress, ShiftPhase
from pipeline.store.job_run import JobRun, JobState
from pipeline.store.records import ReleaseState, RunKind, RunState, StageState, Trigger

Timestamp = Annotated[
    datetime,
    PlainSerializer(datetime.isoformat, return_type=str, when_used="json"),
    WithJsonSchema({"type": "string", "format": "date-time"}, mode="serialization"),
]
FieldValue = str | int | float | bool | None


class Body(BaseModel):
    """The JSON body of a response."""

    model_config = ConfigDict(frozen=True, from_attributes=True)

    def as_data(self) -> dict[str, Any]:
        """Return the model as JSON data."""
        return self.model_dump(mode="json")


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
    stages: list[StageResponse] = Field(description="The stages that have started, in order.")

    @classmethod
    def from_run(cls, run: records.Run, stages: Iterable[records.StageRecord]) -> Self:
        """Return the response for a run of the store."""
        shown = [StageResponse.model_validate(stage) for stage in stages]
        return cls.model_validate({**vars(run), "options": run.options.to_json(), "stages": shown})


class HistoryResponse(RunResponse):
    """A run of the history, with the strategy of its deployment."""

    strategy: str | None = Field(description="How its deployment moved the traffic; null if it deployed nothing.")

    @classmethod
    def of(cls, run: records.Run, stages: Iterable[records.StageRecord], strategy: str | None) -> Self:
        """Return a run of the store, and the strategy of its deployment."""
        return cls(**vars(RunResponse.from_run(run, stages)), strategy=strategy)


class ReleaseResponse(Body):
    """A release."""

    pipeline: str = Field(description="The pipeline's name.")
    number: int = Field(description="The release's number, counted per pipeline.")
    run: int = Field(description="The run that created it.")
    sha: str = Field(description="The commit.")
    subject: str = Field(description="The first line of the commit's message.")
    image_id: str = Field(description="The content digest of the image.")
    image_tag: str = Field(description="The image's tag.")
    state: ReleaseState = Field(description="Current state.")
    created_at: Timestamp = Field(description="Time of creation.")


class DetailedReleaseResponse(ReleaseResponse):
    """A release with its configuration."""

    spec: Any = Field(description="The release's configuration.")

    @classmethod
    def from_release(cls, release: records.Release) -> Self:
        """Return the response for a release of the store."""
        return cls.model_validate({**vars(release), "spec": json.loads(release.spec)})


class DeploymentAnswerResponse(Body):
    """The effect of an answer to the deployment in progress."""

    effect: str = Field(description="What the deployment does now.")


class PipelineResponse(Body):
    """A pipeline of the daemon."""

    name: str = Field(description="The pipeline's name.")
    file: str = Field(description="The pipeline.yaml that declares it.")
    ready: bool = Field(description="True once the daemon holds the pipeline's lock and has started its threads.")
    release: ReleaseResponse | None = Field(description="The active release.")
    last_run: RunResponse | None = Field(description="The latest run.")
    disabled_transitions: dict[str, str] = Field(description="The disabled stages, each with the reason.")


class DaemonResponse(Body):
    """The daemon."""

    version: str = Field(description="The version of Penstock.")
    pipelines: list[str] = Field(description="The names of its pipelines.")
    files: dict[str, str] = Field(description="The pipeline.yaml of each pipeline.")


class EventResponse(Body):
    """An event, with the id from which a follower continues."""

    kind: str = Field(description="The kind of event, for programs.")
    message: str = Field(description="The message, for people.")
    pipeline: str = Field(description="The pipeline's name.")
    run: int | None = Field(description="The run's number; null for an event of the pipeline itself.")
    fields: dict[str, FieldValue] = Field(description="Details, by kind.")
    at: Timestamp = Field(description="Time of the event.")
    id: int = Field(description="The event's id. Later events have a higher one.")

    @classmethod
    def from_event(cls, number: int, event: Event) -> Self:
        """Return the response for an event of the store."""
        return cls.model_validate({**vars(event), "id": number})


class EventLine(Body):
    """An event as `--json` prints it, with its fields beside the rest."""

    model_config = ConfigDict(extra="allow")

    at: Timestamp
    pipeline: str
    run: int | None
    kind: str
    message: str

    @classmethod
    def from_event(cls, event: Event) -> Self:
        """Return the line for an event."""
        known = {"at": event.at, "pipeline": event.pipeline, "run": event.run, "kind": event.kind}
        return cls.model_validate({**known, "message": event.message, **event.fields})


class ErrorResponse(Body):
    """The error of a request that was rejected or failed."""

    error: str = Field(description="The error message.")
    hint: str | None = Field(description="A command or key that resolves the error.")
    exit_code: int = Field(description="The exit code of a command that fails with this error.")


class HolderResponse(Body):
    """A process that holds a lock."""

    pid: int
    since: Timestamp


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


class ReportResponse(Body):
    """The status of a pipeline, for the command `pipeline status`."""

    data: dict[str, Any] = Field(description="The output of `pipeline status --json`.")
    text: dict[str, Any] = Field(
        description="The output of `pipeline status`: lines in parts, a time as an object, and rows of targets."
    )


class CertificateResponse(Body):
    """A certificate that an authority issues. `expires`: null until it is issued. `error`: of the last attempt."""

    domains: list[str]
    expires: datetime | None
    error: str
    retry_at: datetime | None


class JobRunResponse(Body):
    """One run of a job."""

    number: int = Field(description="The run's number, counted per pipeline.")
    job: str = Field(description="The job's name.")
    release: int = Field(description="The release that it is of.")
    state: JobState = Field(description="Current state.")
    scheduled_for: Timestamp | None = Field(description="The time of the schedule; null if a command began it.")
    started_at: Timestamp = Field(description="Start of the run.")
    ended_at: Timestamp | None = Field(description="End of the run.")
    exit_code: int | None = Field(description="Exit code of its process; null if it is not known.")
    reason: str = Field(description="The reason of the outcome.")

    @classmethod
    def from_run(cls, run: JobRun) -> Self:
        """Return a run as it is shown."""
        return cls(
            number=run.number,
            job=run.job,
            release=run.release,
            state=run.state,
            scheduled_for=run.scheduled_for,
            started_at=run.started.wall,
            ended_at=run.ended_at,
            exit_code=run.exit_code,
            reason=run.reason,
        )


class JobResponse(Body):
    """A job of the active release."""

    name: str = Field(description="The job's name.")
    schedule: str = Field(description="Cron expression.")
    timezone: str | None = Field(description="Time zone of the schedule; null for local time.")
    next: Timestamp | None = Field(description="The next time of the schedule.")
    last_run: JobRunResponse | None = Field(description="The latest run.")


class AccessoryResponse(Body):
    """An accessory. `declared` is null if pipeline.yaml is not known, and `drift` has the keys that differ from it."""

    name: str = Field(description="The accessory's name, which is its host name.")
    state: str = Field(
        description="`running`, `stopped`, `starting`, `missing`, `exited`, `being removed` or `not started`; "
        "`unknown` if Docker did not respond in time."
    )
    image: str = Field(description="The image as written in pipeline.yaml.")
    health: str | None = Field(description="`healthy`, `starting` or `unhealthy`; null if it does not run.")
    container: str | None = Field(description="The container's name.")
    address: str | None = Field(description="Its address in the pipeline's network.")
    declared: bool | None = Field(description="Whether pipeline.yaml or the last deployed commit has it.")
    drift: list[str] = Field(description="Keys of pipeline.yaml that differ from the container.")
    last_backup: Timestamp | None = Field(description="Time of the latest complete backup.")


class ServiceProgressResponse(Body):
    """How far the deployment of a service is."""

    service: str = Field(description="The service.")
    strategy: str = Field(description="The strategy by which its traffic moves.")
    phase: ShiftPhase = Field(description="Current phase.")
    step: int | None = Field(description="The step of the strategy, from 1; null outside of the phase `shift`.")
    steps: int = Field(description="The number of steps.")
    share: float = Field(description="Percentage of the requests that the new release gets.")
    bake_time: float = Field(description="Seconds that the step lasts at least.")
    baked: float = Field(description="Seconds of these that are over. Up to 5 s more are not stored yet.")
    waits_for: str = Field(description="What the deployment of the service waits for, in words.")

    @classmethod
    def from_progress(cls, progress: ServiceProgress, waits_for: str) -> Self:
        """Return the stored progress as it is shown. `waits_for` is what the service waits for now."""
        return cls(
            service=progress.service,
            strategy=progress.strategy,
            phase=progress.phase,
            step=progress.step + 1 if progress.phase is ShiftPhase.SHIFT else None,
            steps=progress.steps,
            share=progress.share,
            bake_time=progress.bake_time.total_seconds(),
            baked=progress.baked.total_seconds(),
            waits_for=waits_for,
        )


class DeploymentResponse(Body):
    """A deployment in progress."""

    run: int = Field(description="The run that deploys.")
    from_release: int | None = Field(description="The active release; null before the first one.")
    to_release: int | None = Field(description="The new release; null for `pipeline down`.")
    strategy: str = Field(description="The strategy, or those of the services.")
    held: bool = Field(description="True if a process died in it, and a queued run continues it.")
    services: list[ServiceProgressResponse] = Field(description="The services that have begun to move traffic.")


class ScalingDecisionResponse(Body):
    """The last decision of auto scaling. A metric that was not known or not needed is null."""

    at: Timestamp = Field(description="Time of the decision.")
    count: int = Field(description="Number of replicas that it wants.")
    reason: str = Field(description="Why, with numbers.")
    serving: int = Field(description="Replicas that received requests.")
    starting: int = Field(description="Replicas that were starting.")
    requests: float | None = Field(description="Requests per minute in total.")
    connections: float | None = Field(description="Requests or connections in progress in total.")
    cpu: float | None = Field(description="Average CPU of the replicas in percent of their limit.")
    response_time: float | None = Field(description="90th percentile of the response times in seconds.")


class ScalingResponse(Body):
    """A service whose number of replicas is scaled automatically. `min` and `max` are in force now."""

    service: str = Field(description="The service's name.")
    wanted: int = Field(description="Number of replicas that it should have.")
    min: int = Field(description="The smallest number of replicas.")
    max: int = Field(description="The largest number of replicas.")
    suspended_at: Timestamp | None = Field(description="Since when scaling is suspended; null if it is not.")
    policy: Mapping[str, Any] = Field(description="The policy, as in pipeline.yaml.")
    decision: ScalingDecisionResponse | None = Field(description="The last decision; null before the first one.")


class AlarmResponse(Body):
    """A condition of `rollback_on` in the open deployment."""

    service: str
    release: int
    condition: int = Field(description="Its place in the list of the service, from 1.")
    state: str = Field(description="OK, ALARM or INSUFFICIENT_DATA, as CloudWatch has them.")
    text: str = Field(description="Its numbers, and what it still needs.")
    needed: int | None = Field(description="About the number of requests until it can decide. None: not known.")


class StatusResponse(Body):
    """The output of `pipeline status --json`."""

    pipeline: str
    release: int | None
    sha: str | None
    served: bool
    daemon: HolderResponse | None
    last_run: LastRunResponse | None
    unfinished: list[UnfinishedRunResponse]
    disabled_transitions: Mapping[str, str]
    drift: list[str]
    alarms: list[AlarmResponse]
    broken: list[str]
    targets: list[Any]
    workers: Mapping[str, str]
    restarts: Mapping[str, int]
    accessories: list[AccessoryResponse]
    certificates: list[CertificateResponse]
    jobs: list[JobResponse]
    deployment: DeploymentResponse | None
    scaling: list[ScalingResponse]
