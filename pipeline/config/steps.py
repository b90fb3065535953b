"""What runs in containers besides what is deployed: the tests, what they need, and what goes before a release."""

from __future__ import annotations

import posixpath
import re
from datetime import timedelta
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from pipeline.balancer.model import Model
from pipeline.base.errors import FieldError
from pipeline.base.quantity import Duration, Size, Whole
from pipeline.config.environment import Environment

Command = Annotated[tuple[str, ...], Field(min_length=1)]


def _absolute(value: str) -> str:
    if not value.startswith("/"):
        raise ValueError("must be absolute, a path inside the container such as /tmp/reports")
    if ".." in value.split("/") or "\0" in value or not value.strip("/."):
        raise ValueError(f"{value!r} must be below /, and without .., such as /tmp/reports")
    return posixpath.normpath(value)


def _served(value: str) -> str:
    match = _HTTP.fullmatch(value)
    if match is None or not 1 <= int(match[1]) <= 65535:
        raise ValueError(f"{value!r} is no port and path; write :8080/ready")
    return value


_HTTP = re.compile(r":([0-9]{1,5})/[!-~]*")
ContainerPath = Annotated[str, AfterValidator(_absolute)]
PortAndPath = Annotated[str, AfterValidator(_served)]
HostName = Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")]


class Readiness(Model):
    """When a service may be used. Without any of these: when its image's HEALTHCHECK says so, else once it runs."""

    tcp: Whole | None = Field(None, ge=1, le=65535, description="It takes connections at this port.")
    http: PortAndPath | None = Field(
        None, description="It answers a GET with 2xx or 3xx, at this port and path, such as `:8080/ready`."
    )
    command: Command | None = Field(None, description="This command, run in its container, ends with 0.")
    timeout: Duration = Field(
        timedelta(minutes=1), description="A service that is not ready after this long has failed."
    )

    @model_validator(mode="after")
    def _says_one_thing(self) -> Readiness:
        if sum(way is not None for way in (self.tcp, self.http, self.command)) > 1:
            raise FieldError("tcp", "is one of tcp, http and command: say one of them")
        return self


class TestService(Model):
    """What the tests need beside them, such as a database: started before them, and removed with all that it holds."""

    image: str = Field(min_length=1, description="Its image, pulled where it is not here.")
    command: Command | None = Field(None, description="Replaces the image's command.")
    environment: Environment = Field({}, description="Its variables. May hold ${secret:NAME}.")
    readiness: Readiness = Field(Readiness(), description="What the tests wait for.")
    memory: Size = Field(2**30, description="Its memory limit.")


class Retry(Model):
    """How often something is tried again, by whose fault it was. Each try is seen in the history."""

    infrastructure: Whole = Field(
        1,
        ge=0,
        le=10,
        description="A build, a pull or the tests, when Docker or a registry failed them, or a service did not come up "
        "or ended.",
    )
    failure: Whole = Field(0, ge=0, le=10, description="The tests, when they failed or did not end in time.")


class Tests(Model):
    """The tests of the image: run in it, in a container of their own, before anything is deployed."""

    command: Command = Field(description="The command and its arguments, in place of what the image runs.")
    timeout: Duration = Field(timedelta(minutes=10), description="They are stopped and have failed after this long.")
    stop_grace: Duration = Field(
        timedelta(seconds=10),
        description="From SIGTERM to SIGKILL when they are stopped: after the timeout, or cancelled.",
    )
    environment: Environment = Field({}, description="Variables of the test container. May hold ${secret:NAME}.")
    memory: Size = Field(2**30, description="Memory limit of the test container.")
    pids: Whole = Field(512, ge=1, description="How many processes and threads the tests may have at once.")
    network: Literal["none", "bridge"] = Field("bridge", description="`none` takes the network away.")
    reports: ContainerPath | None = Field(
        None, description="JUnit XML that the tests write: a file or a folder, absolute, in the container."
    )
    artifacts: tuple[ContainerPath, ...] = Field(
        (),
        description="Files or folders of the test container that are kept with the run, also when the tests fail: "
        "regular files, at most 256 MiB in all.",
    )
    services: dict[HostName, TestService] = Field(
        {}, description="What runs beside the tests, in a network of their own, by the host name that it has there."
    )
    retry: Retry = Field(Retry(), description="How often what failed is tried again.")

    @model_validator(mode="after")
    def _services_are_reached(self) -> Tests:
        if self.services and self.network == "none":
            raise FieldError("services", "cannot be reached with network: none")
        return self


class ReleaseCommand(Model):
    """Run once for each new release in its image, while the former one serves: migrations, say. Not on a rollback."""

    command: Command = Field(
        description="The command and its arguments, in place of what the image runs. If it fails, nothing is deployed."
    )
    timeout: Duration = Field(timedelta(minutes=10), description="It is stopped and has failed after this long.")
    stop_grace: Duration = Field(
        timedelta(seconds=10),
        description="From SIGTERM to SIGKILL when it is stopped: after the timeout, or cancelled.",
    )
    environment: Environment = Field({}, description="Variables besides deploy.environment. May hold ${secret:NAME}.")


class Approval(Model):
    """Somebody has to agree before a release is deployed: `pipeline approve RUN`."""

    timeout: Duration = Field(timedelta(days=7), description="After this long without an answer, the run has failed.")
