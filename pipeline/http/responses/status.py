"""The status of a pipeline, as the control API and `--json` show it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from pydantic import Field

from pipeline.http.responses.accessory import AccessoryResponse
from pipeline.http.responses.body import Body, Timestamp
from pipeline.http.responses.deployment import AlarmResponse, DeploymentResponse
from pipeline.http.responses.job import JobResponse
from pipeline.http.responses.run import LastRunResponse, UnfinishedRunResponse
from pipeline.http.responses.scaling import ScalingResponse
from pipeline.http.responses.service import ServiceResponse


class HolderResponse(Body):
    """A process that holds a lock."""

    pid: int
    since: Timestamp


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


class HostResponse(Body):
    """A host of a pipeline's replicas."""

    name: str
    zone: str
    takes_replicas: bool = Field(description="False if it is drained, or no longer in deploy.hosts.")
    containers: list[str] = Field(description="Names of the containers of services on it. Empty if it does not answer.")
    fault: str | None = Field(description="Why it does not answer. Null if it does.")


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
    hosts: list[HostResponse] = Field(description="The hosts of the replicas. Empty if the local engine has them all.")
    services: list[ServiceResponse] = Field(description="The services of the active release, with their containers.")
