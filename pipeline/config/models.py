"""The keys of a pipeline.yaml. The reference page, the JSON Schema and the hints are generated from here."""

from __future__ import annotations

import posixpath
import re
from datetime import timedelta
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, field_validator, model_validator

from pipeline.balancer.model import Declaration, Model, Name
from pipeline.base.errors import FieldError
from pipeline.base.quantity import Amount, Duration, Size, Whole, resolve_amount
from pipeline.config.environment import Environment, VariableName
from pipeline.config.reporters import Reporters
from pipeline.config.retention import Retention
from pipeline.config.steps import Approval, Command, ReleaseCommand, Tests
from pipeline.config.triggers import Triggers


def _glob(value: str) -> str:
    if value.startswith("!") or not value.strip("/"):
        raise ValueError(f"{value!r} is no glob; name what counts, such as src/** or Dockerfile")
    return value


def _volume(value: str) -> str:
    if not _VOLUME.fullmatch(value):
        raise ValueError(f"{value!r} is no volume; write /host/path:/container/path or name:/container/path:ro")
    return value


_VOLUME = re.compile(r"(/[^:]*|[A-Za-z0-9][A-Za-z0-9_.-]*):/[^:]*(:ro|:rw)?")
Glob = Annotated[str, AfterValidator(_glob)]
Volume = Annotated[str, AfterValidator(_volume)]


class Parameter(Model):
    """A value given at run time: `pipeline run -p replicas=5`, used as `${replicas}`."""

    type: Literal["string", "integer", "number", "boolean"] = Field("string", description="What it holds.")
    default: str | int | float | bool | None = Field(
        None, description="Its value where none is given; without one, it must be given."
    )
    minimum: float | None = Field(None, description="The least number allowed.")
    maximum: float | None = Field(None, description="The greatest number allowed.")
    pattern: str | None = Field(None, description="A regular expression that the whole string must match.")
    allowed_values: tuple[str | int | float, ...] | None = Field(None, description="The only values allowed.")
    description: str = Field("", description="What it is for.")

    @field_validator("pattern")
    @classmethod
    def _pattern_is_one(cls, value: str | None) -> str | None:
        try:
            re.compile(value or "")
        except re.error as error:
            raise ValueError(f"is no regular expression: {error}") from None
        return value


class Source(Model):
    """Where the commits come from."""

    repository: str = Field(
        ".",
        min_length=1,
        description="A path (relative to this file), bare or not, or any URL that git can fetch.",
    )
    branch: str = Field("main", min_length=1, description="The branch, tag or commit that is run by default.")
    paths: tuple[Glob, ...] = Field(
        (),
        description="Globs; a commit that touches none of them makes no run. `**` crosses folders. Empty: all.",
    )
    file: str | None = Field(
        None,
        description="Where the pipeline.yaml is in the repository: the one of each commit counts for the runs that "
        "`pipeline serve` makes by itself. None: where this file is in the repository, else pipeline.yaml.",
    )


class Build(Model):
    """How a commit becomes an image."""

    context: str = Field(".", description="The folder of the repository that is sent to the builder.")
    context_limit: Size = Field(2 * 2**30, description="A context of more than this is not sent: somebody's mistake.")
    dockerfile: str = Field("Dockerfile", description="The Dockerfile, relative to the context.")
    args: dict[VariableName, str] = Field(
        {}, description="Build arguments. They stay in the image's history: no secrets here."
    )
    timeout: Duration = Field(timedelta(hours=1), description="A build that takes longer than this has failed.")
    test: Tests | None = Field(None, description="The tests. Without them, what builds is deployed.")

    @field_validator("context", "dockerfile")
    @classmethod
    def _inside(cls, value: str) -> str:
        if value.startswith("/") or ".." in value.split("/") or "\0" in value:
            raise ValueError("must be a path inside the repository, without a leading / and without ..")
        return posixpath.normpath(value)


class Rolling(Model):
    """How far a rolling deployment may lean out: more containers than wanted, fewer healthy than wanted."""

    max_surge: Amount = Field(
        1, description="How many containers above `replicas` may run: a number, or a share (rounded up)."
    )
    max_unavailable: Amount = Field(
        0, description="How many healthy targets below `replicas` are bearable: a number, or a share (rounded down)."
    )


class Deploy(Model):
    """How the image is put into service."""

    target_group: Name = Field(description="The target group of `balancer` that the containers join.")
    replicas: Whole = Field(1, ge=1, le=500, description="How many containers serve.")
    rolling: Rolling = Field(Rolling(), description="How a new release takes over.")
    command: Command | None = Field(None, description="Replaces the image's command.")
    function: str | None = Field(
        None,
        pattern=r"^[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)+$",
        description="A Python function of the image, as MODULE.FUNCTION, that gets ELB's events. For a target group of "
        "target_type lambda; an image that is a Lambda image itself needs none.",
    )
    approval: Approval | None = Field(None, description="Wait for somebody to agree before this is deployed.")
    release_command: ReleaseCommand | None = Field(
        None, description="Run once in the new image before it serves, such as migrations."
    )
    environment: Environment = Field({}, description="Variables of the containers. May hold ${secret:NAME}.")
    volumes: tuple[Volume, ...] = Field(
        (), description="`/path/on/host:/path/in/container[:ro]` or `volume-name:/path/in/container[:ro]`."
    )
    memory: Size | None = Field(None, description="Memory limit of each container. None: no limit.")
    cpus: float | None = Field(None, gt=0, description="Processor limit of each container, in cores.")
    stop_grace: Duration = Field(
        timedelta(seconds=10), description="From SIGTERM to SIGKILL when a container is stopped, after it drained."
    )
    restart: Literal["no", "on-failure", "always", "unless-stopped"] = Field(
        "always",
        description="Docker's restart policy, set once a container has become healthy. After a crash of Docker itself, "
        "only `always` brings back what ran.",
    )
    deploy_timeout: Duration = Field(
        timedelta(seconds=60), description="A new container that is not healthy after this long fails the release."
    )
    unhealthy_timeout: Duration = Field(
        timedelta(seconds=30),
        description="`pipeline serve` replaces a container whose target is unhealthy for this long, as far as "
        "rolling.max_unavailable allows, and each further one after a longer while.",
    )
    retain: Whole = Field(5, ge=1, le=100, description="How many releases keep their image, to roll back to.")

    @model_validator(mode="after")
    def _runs_one_thing(self) -> Self:
        if self.function and self.command:
            raise FieldError("function", "goes without command: it is what the container runs")
        return self

    @model_validator(mode="after")
    def _can_move(self) -> Self:
        surge = resolve_amount(self.rolling.max_surge, self.replicas, round_up=True)
        unavailable = resolve_amount(self.rolling.max_unavailable, self.replicas, round_up=False)
        if surge == 0 and unavailable == 0:
            raise FieldError(
                "rolling",
                f"leaves no room to move: max_surge {self.rolling.max_surge} and max_unavailable "
                f"{self.rolling.max_unavailable} of {self.replicas} are both 0; set max_surge to 1",
            )
        return self


class SecretSource(Model):
    """Where `${secret:NAME}` is looked up, after the environment."""

    file: str = Field(description="A file of NAME=value lines with mode 0600, relative to this file.")


class Pipeline(Model):
    """A whole pipeline.yaml."""

    name: Name = Field(description="Names the pipeline on this machine.")
    parameters: dict[VariableName, Parameter] = Field({}, description="Values given at run time.")
    secrets: SecretSource | None = Field(None, description="Where secrets come from, besides the environment.")
    execution_mode: Literal["superseded", "queued", "parallel"] = Field(
        "superseded",
        description="What becomes of a commit while another is on its way. superseded: the newer one takes its place "
        "until it is being deployed. queued: all in order, one at a time. parallel: all at once, deployed in order.",
    )
    source: Source = Field(Source(), description="Where the commits come from.")
    triggers: Triggers = Field(Triggers(), description="What `pipeline serve` makes runs of.")
    build: Build = Field(Build(), description="How a commit becomes an image.")
    deploy: Deploy = Field(description="How the image is put into service.")
    reporters: Reporters = Field({}, description="Who is told what becomes of a run, by a name of your choice.")
    retention: Retention = Field(Retention(), description="What is kept of runs that are over.")
    balancer: Declaration = Field(description="What the load balancer listens on, and what it forwards to.")

    @model_validator(mode="after")
    def _function_is_reached_as_one(self) -> Self:
        group = self.balancer.target_groups.get(self.deploy.target_group)
        if self.deploy.function and group and group.target_type != "lambda":
            raise FieldError("deploy", f"function needs target_type: lambda in target group {self.deploy.target_group}")
        return self
