"""Containers that run before a deployment: tests with their services, and the release command. Also the approval."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from pipeline.balancer.model import Model
from pipeline.base.errors import FieldError, refuse
from pipeline.base.quantity import Duration, Size, Whole
from pipeline.config.container_values import MAX_PIDS, ImageName, Memory, PlainText
from pipeline.config.devices import Devices, device_mapping
from pipeline.config.env_file import ENV_FILE, EnvFiles
from pipeline.config.environment import Environment
from pipeline.config.privileges import (
    DEFAULT_PIDS_LIMIT,
    AddedCapabilities,
    Capabilities,
    DroppedCapabilities,
    NoNewPrivileges,
    PidsLimit,
    capability_mistakes,
    privileges,
)
from pipeline.engine.container import Privileges
from pipeline.engine.container_options import ContainerOptions

Command = Annotated[tuple[PlainText, ...], Field(min_length=1)]
Entrypoint = tuple[PlainText, ...]
ENTRYPOINT = "Replaces the image's ENTRYPOINT, and then the image's CMD is not used. []: no ENTRYPOINT."
INIT = "Run a small init as process 1, which ends orphaned processes and passes signals on, as `docker run --init`."
SHM_SIZE = "Size of /dev/shm. None: Docker's default, 64MiB."


def _absolute(value: str) -> str:
    if not value.startswith("/"):
        raise ValueError(f"must be an absolute path in the container, such as /tmp/reports, got {value!r}")
    if ".." in value.split("/") or "\0" in value or not value.strip("/."):
        raise ValueError(f"must be a path below /, without .., such as /tmp/reports, got {value!r}")
    return posixpath.normpath(value)


def _port_and_path(value: str) -> str:
    match = _HTTP.fullmatch(value)
    if match is None or not 1 <= int(match[1]) <= 65535:
        raise ValueError(f"{value!r} is not a valid port and path; write :8080/ready")
    return value


_HTTP = re.compile(r":([0-9]{1,5})/[!-~]*")
ContainerPath = Annotated[str, AfterValidator(_absolute)]
PortAndPath = Annotated[str, AfterValidator(_port_and_path)]
HostName = Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")]


class Readiness(Model):
    """Readiness check of a service. Without any: the HEALTHCHECK of its image, else ready once it runs."""

    tcp: Whole | None = Field(None, ge=1, le=65535, description="Ready when this port accepts connections.")
    http: PortAndPath | None = Field(
        None, description="Ready when a GET on this port and path, such as `:8080/ready`, returns 2xx or 3xx."
    )
    command: Command | None = Field(None, description="Ready when this command, run in its container, exits with 0.")
    timeout: Duration = Field(timedelta(minutes=1), description="Time to become ready. After it, the service fails.")

    @model_validator(mode="after")
    def _check_single(self) -> Readiness:
        if sum(way is not None for way in (self.tcp, self.http, self.command)) > 1:
            raise FieldError("tcp", "must not be combined: only one of tcp, http and command is allowed")
        return self


class TestService(Model):
    """A container that the tests need, such as a database. Started before the tests, and removed with its data."""

    image: ImageName = Field(description="Image of the service, pulled if it is missing.")
    command: Command | None = Field(
        None, description="Command that replaces the image's CMD. It is passed to the image's ENTRYPOINT."
    )
    entrypoint: Entrypoint | None = Field(None, description=ENTRYPOINT)
    environment: Environment = Field({}, description="Variables of the service. May contain ${secret:NAME}.")
    env_file: EnvFiles = Field((), exclude=True, description=ENV_FILE)
    readiness: Readiness = Field(Readiness(), description="Check that must pass before the tests start.")
    memory: Memory = Field(2**30, description="Memory limit of the service.")
    init: bool = Field(False, description=INIT)
    shm_size: Size | None = Field(None, description=SHM_SIZE)
    pids_limit: PidsLimit = DEFAULT_PIDS_LIMIT
    cap_add: AddedCapabilities = ()
    cap_drop: DroppedCapabilities = ()
    no_new_privileges: NoNewPrivileges = True
    devices: Devices = ()

    @property
    def privileges(self) -> Privileges:
        """The privileges of its container."""
        return privileges(self.cap_add, self.cap_drop, no_new_privileges=self.no_new_privileges)

    @property
    def container_options(self) -> ContainerOptions:
        """The options of its container."""
        return ContainerOptions(devices=tuple(map(device_mapping, self.devices)))

    @model_validator(mode="after")
    def _check_capabilities(self) -> TestService:
        refuse(capability_mistakes(self.cap_add, self.cap_drop))
        return self


class Retry(Model):
    """Number of retries by cause. `pipeline history` shows each attempt."""

    infrastructure: Whole = Field(
        1,
        ge=0,
        le=10,
        description="Retries of a build, a pull or the tests after a fault of Docker or a registry, or of a service "
        "that did not become ready or exited.",
    )
    failure: Whole = Field(0, ge=0, le=10, description="Retries of the tests after they failed or timed out.")


class Tests(Model):
    """Tests of the image. They run in a separate container of the image before the deployment."""

    command: Command = Field(
        description="Command with its arguments. Replaces the image's CMD. It is passed to the image's ENTRYPOINT."
    )
    entrypoint: Entrypoint | None = Field(None, description=ENTRYPOINT)
    timeout: Duration = Field(timedelta(minutes=10), description="Maximum duration. After it, the tests fail.")
    stop_grace: Duration = Field(
        timedelta(seconds=10),
        description="Time from SIGTERM to SIGKILL when the tests are stopped, after the timeout or when cancelled.",
    )
    environment: Environment = Field({}, description="Variables of the test container. May contain ${secret:NAME}.")
    env_file: EnvFiles = Field((), exclude=True, description=ENV_FILE)
    memory: Memory = Field(2**30, description="Memory limit of the test container.")
    pids: Whole = Field(512, ge=1, le=MAX_PIDS, description="Maximum number of processes and threads of the tests.")
    init: bool = Field(True, description=INIT)
    shm_size: Size | None = Field(None, description=SHM_SIZE)
    cap_add: Capabilities = Field(
        (), description="Linux capabilities of the tests, such as NET_RAW. They have no others. ALL: all."
    )
    no_new_privileges: NoNewPrivileges = True
    devices: Devices = ()
    network: Literal["none", "bridge"] = Field("bridge", description="Network of the tests. none: no network.")
    reports: ContainerPath | None = Field(
        None,
        description="Absolute path in the container of a report that the tests write, or of a folder with reports: "
        "JUnit XML, TRX, NUnit or xUnit.net.",
    )
    trust: Literal["both", "exit_code", "report"] = Field(
        "both",
        description="How the tests pass. both: the command exits with 0 and the report names no failed test. "
        "exit_code: a failed test in the report is only a warning. report: the exit code is only a warning.",
    )
    artifacts: tuple[ContainerPath, ...] = Field(
        (),
        description="Files or folders of the test container that are kept with the run, even if the tests fail. "
        "Regular files only, at most 256 MiB in total.",
    )
    services: dict[HostName, TestService] = Field(
        {}, description="Services of the tests by host name. They share a separate network with the tests."
    )
    retry: Retry = Field(Retry(), description="Number of retries.")

    @property
    def privileges(self) -> Privileges:
        """The privileges of the test container."""
        return privileges(self.cap_add, no_new_privileges=self.no_new_privileges, default=())

    @property
    def container_options(self) -> ContainerOptions:
        """The options of the test container."""
        return ContainerOptions(devices=tuple(map(device_mapping, self.devices)))

    @model_validator(mode="after")
    def _check(self) -> Tests:
        refuse(self._mistakes())
        return self

    def _mistakes(self) -> Iterator[FieldError]:
        if self.trust == "report" and self.reports is None:
            yield FieldError("trust", "must not be report without reports: name the report that the tests write")
        if self.services and self.network == "none":
            yield FieldError("services", "must be empty with network: none")


class ReleaseCommand(Model):
    """A command in the image of each new release, such as migrations.

    It runs once, while the previous release is active. A rollback does not run it.
    """

    command: Command = Field(
        description="Command with its arguments. Replaces the image's CMD. It is passed to the image's ENTRYPOINT. If "
        "it fails, nothing is deployed."
    )
    entrypoint: Entrypoint | None = Field(None, description=ENTRYPOINT)
    timeout: Duration = Field(timedelta(minutes=10), description="Maximum duration. After it, the command fails.")
    stop_grace: Duration = Field(
        timedelta(seconds=10),
        description="Time from SIGTERM to SIGKILL when it is stopped, after the timeout or when cancelled.",
    )
    environment: Environment = Field(
        {}, description="Variables in addition to deploy.environment. May contain ${secret:NAME}."
    )
    env_file: EnvFiles = Field((), exclude=True, description=ENV_FILE)


class Approval(Model):
    """A manual approval before each deployment, given with `pipeline approve RUN`."""

    timeout: Duration = Field(
        timedelta(days=7), description="Time for a decision, from when the run is queued. After it, the run fails."
    )
