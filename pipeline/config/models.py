"""The models of pipeline.yaml. The reference page, the JSON Schema and the hints are generated from them."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, field_validator, model_validator

from pipeline.balancer.model import Declaration, EndpointsAlone, Model, Name, Undeclared
from pipeline.base.errors import FieldError, refuse
from pipeline.base.quantity import Duration, Size
from pipeline.base.remote_url import RemoteUrl, is_url
from pipeline.config.accessory import Accessory
from pipeline.config.build_options import CacheOption, Platform, PushName, SecretId, SecretText, SshAgent, StageName
from pipeline.config.container_labels import ContainerLabels
from pipeline.config.deploy import Deploy
from pipeline.config.environment import BuildArguments, VariableName
from pipeline.config.host_fit import host_fit_mistakes
from pipeline.config.published_port import collide
from pipeline.config.reporters import Reporters
from pipeline.config.retention import Retention
from pipeline.config.rollback_conditions import network_mistakes
from pipeline.config.scale_to_zero import zero_mistakes
from pipeline.config.scaling import metric_mistakes
from pipeline.config.service import OPTIONS
from pipeline.config.service_fit import appliance_mistakes
from pipeline.config.steps import HostName, Tests
from pipeline.config.strategy_fit import strategy_mistakes
from pipeline.config.triggers import Triggers


def _glob(value: str) -> str:
    if value.startswith("!") or not value.strip("/"):
        raise ValueError(f"{value!r} is not a valid glob; list the paths to include, such as src/** or Dockerfile")
    return value


Glob = Annotated[str, AfterValidator(_glob)]
_MAX_ACCESSORIES = 32
_OLD_DEFAULT_BRANCH = "master"


class Parameter(Model):
    """A value that is set at run time with `pipeline run -p replicas=5` and used as `${replicas}`."""

    type: Literal["string", "integer", "number", "boolean"] = Field("string", description="Type of the value.")
    default: str | int | float | bool | None = Field(
        None, description="Default value. Without one, the parameter is required."
    )
    minimum: float | None = Field(None, description="Smallest number allowed.")
    maximum: float | None = Field(None, description="Largest number allowed.")
    pattern: str | None = Field(None, description="A regular expression that the whole string must match.")
    allowed_values: tuple[str | int | float, ...] | None = Field(None, description="The only values allowed.")
    description: str = Field("", description="Purpose of the parameter, for readers of the file.")

    @field_validator("pattern")
    @classmethod
    def _check_pattern(cls, value: str | None) -> str | None:
        try:
            re.compile(value or "")
        except re.error as error:
            raise ValueError(f"is not a valid regular expression: {error}") from None
        return value


class Source(Model):
    """The git repository of the pipeline."""

    example: ClassVar[str] = "{branch: main}"

    uses: str = Field("git", min_length=1, description="Stage that finds commits: entry point `source.NAME`.")
    options: dict[str, Any] = Field({}, alias="with", description=OPTIONS)
    repository: str = Field(
        ".",
        min_length=1,
        description="Path of a repository, bare or not, relative to this file, or any URL that git can fetch. A URL "
        "may have a user name and a password or token, in which `@` is written as `%40` and `/` as `%2F`.",
    )
    branch: str = Field(
        "main",
        min_length=1,
        description="Branch, tag or commit that is run by default, or another revision of git. If it is not set, and "
        "the repository has no main: master.",
    )
    paths: tuple[Glob, ...] = Field(
        (),
        description="Globs. A commit that changes no matching file starts no run. `**` crosses folders. "
        "Empty: all files.",
    )
    file: str | None = Field(
        None,
        description="Path of pipeline.yaml in the repository. Automatic runs use the file of their commit. None: the "
        "path of this file in the repository, else pipeline.yaml.",
    )

    @property
    def branches(self) -> tuple[str, ...]:
        """The names that are tried for `branch`: `master` too if none is set, which git has as its default as well."""
        return (self.branch,) if "branch" in self.model_fields_set else (self.branch, _OLD_DEFAULT_BRANCH)

    @field_validator("repository")
    @classmethod
    def _check_repository(cls, value: str) -> str:
        if is_url(value):
            RemoteUrl.parse(value)
        return value


class Build(Model):
    """The build of an image from a commit."""

    example: ClassVar[str] = "{context: .}"

    uses: str = Field("docker", min_length=1, description="Stage that makes images: entry point `build.NAME`.")
    options: dict[str, Any] = Field({}, alias="with", description=OPTIONS)
    context: str = Field(".", description="Folder of the repository that is sent to the builder.")
    context_limit: Size = Field(2 * 2**30, description="Maximum size of the context. A larger one fails the build.")
    dockerfile: str = Field("Dockerfile", description="Path of the Dockerfile, relative to the context.")
    args: BuildArguments = Field(
        {}, description="Build arguments. They stay in the image's history, so secrets are not allowed."
    )
    labels: ContainerLabels = Field(
        {}, description="Labels of the image, besides those of the commit. May contain variables such as ${commit}."
    )
    push: tuple[PushName, ...] = Field(
        (),
        description="Names under which the image is pushed to registries after its tests and before the deployment, "
        "such as registry.example.com/shop:${short_commit}.",
    )
    target: StageName | None = Field(None, description="Stage of the Dockerfile to build. None: the last one.")
    secrets: dict[SecretId, SecretText] = Field(
        {},
        description="Secrets that steps mount with `RUN --mount=type=secret,id=ID`, by their id. Each contains "
        "${secret:NAME}. They are in no layer and not in the history.",
    )
    ssh: tuple[SshAgent, ...] = Field(
        (),
        description="SSH agents that steps mount with `RUN --mount=type=ssh`: `default`, or `ID=SOCKET_OR_KEY_FILE`.",
    )
    cache_from: tuple[CacheOption, ...] = Field(
        (), description="Sources of cached steps: images, or options such as `type=local,src=/var/cache/build`."
    )
    cache_to: tuple[CacheOption, ...] = Field(
        (), description="Where to keep cached steps, such as `type=local,dest=/var/cache/build`. Needs buildx."
    )
    platforms: tuple[Platform, ...] = Field(
        (), description="Platforms of the image, such as linux/amd64. Empty: that of Docker."
    )
    timeout: Duration = Field(timedelta(hours=1), description="Maximum duration of a build.")
    test: Tests | None = Field(None, description="Tests of the image. None: every image that builds is deployed.")

    @field_validator("context", "dockerfile")
    @classmethod
    def _inside(cls, value: str) -> str:
        if value.startswith("/") or ".." in value.split("/") or "\0" in value:
            raise ValueError("must be a path inside the repository, without a leading / and without ..")
        return posixpath.normpath(value)


class SecretSource(Model):
    """The source of `${secret:NAME}`, after the environment."""

    file: str | None = Field(None, description="File of NAME=value lines with mode 0600, relative to this file.")
    command: tuple[str, ...] | None = Field(
        None,
        min_length=1,
        description="Program with its arguments that prints NAME=value lines, such as that of a vault. It runs in the "
        "folder of this file, once for each run, without input and for at most a minute.",
    )

    @model_validator(mode="after")
    def _has_one_source(self) -> Self:
        if (self.file is None) == (self.command is None):
            raise ValueError("must have either file or command")
        return self


def _declared(data: Any) -> Any:
    """Endpoints of other pipelines' services need no load balancer here."""
    is_alone = isinstance(data, dict) and data.keys() == {"endpoints"}
    return EndpointsAlone.model_validate(data) if is_alone else data


class Pipeline(Model):
    """A whole pipeline.yaml."""

    name: Name = Field(description="Name of the pipeline, unique on this machine.")
    parameters: dict[VariableName, Parameter] = Field({}, description="Values that are set at run time.")
    secrets: SecretSource | None = Field(None, description="Source of secrets besides the environment.")
    execution_mode: Literal["superseded", "queued", "parallel"] = Field(
        "superseded",
        description="Order of runs. superseded: a newer commit replaces another one that is not being deployed yet. "
        "queued: one run at a time, in order. parallel: runs build at the same time and deploy in order.",
    )
    source: Source = Field(Source(), description="Repository and branch.")
    triggers: Triggers = Field(Triggers(), description="Triggers of the runs that `pipeline serve` starts.")
    build: Build = Field(Build(), description="Build and tests of the image.")
    deploy: Deploy = Field(description="Deployment of the image.")
    accessories: dict[HostName, Accessory] = Field(
        {},
        max_length=_MAX_ACCESSORIES,
        description="Databases and the like by host name. Started before the services, and replaced by no deployment.",
    )
    reporters: Reporters = Field({}, description="Receivers of a run's events, each under a name of your choice.")
    retention: Retention = Field(Retention(), description="Retention of finished runs.")
    balancer: Annotated[Declaration, BeforeValidator(_declared)] = Field(
        Undeclared(),
        description="Listeners of the load balancer, and their target groups. None: no service gets requests.",
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        refuse(self._mistakes())
        return self

    def _mistakes(self) -> Iterator[FieldError]:
        """Yield what does not fit together in the sections."""
        yield from self._mistakes_of_image()
        yield from self._mistakes_of_functions()
        for mistake in strategy_mistakes(self.deploy, self.balancer):
            yield FieldError(("deploy", *mistake.path), str(mistake))
        scaling = self.deploy.all_scaling()
        for name, service in self.deploy.all_services().items():
            group = self.balancer.target_groups.get(service.target_group or "")
            place = ("deploy", "services", name) if self.deploy.services else ("deploy",)
            if service.target_group and name in scaling:
                yield from metric_mistakes(scaling[name], service.target_group, self.balancer, place)
            if name in scaling:
                yield from zero_mistakes(scaling[name], service, self.balancer, place)
            yield from network_mistakes(service, group, place)
            yield from appliance_mistakes(service, group, place)
        yield from self._mistakes_of_accessories()
        yield from host_fit_mistakes(self.deploy, self.balancer, self.accessories)

    def _mistakes_of_image(self) -> Iterator[FieldError]:
        if self.deploy.image is None or "build" not in self.model_fields_set:
            return
        if self.build.test is not None:
            yield FieldError(
                ("build", "test"),
                "cannot run with deploy.image, because nothing is built; test the image where it is built",
            )
        else:
            yield FieldError("build", "must be left out with deploy.image, because nothing is built")

    def _mistakes_of_functions(self) -> Iterator[FieldError]:
        for name, service in self.deploy.all_services().items():
            group = self.balancer.target_groups.get(service.target_group or "")
            is_other = group is not None and group.target_type != "lambda"
            if service.function and (is_other or not service.target_group):
                where = ("deploy", "services", name) if self.deploy.services else "deploy"
                of_group = f" in target group {service.target_group}" if service.target_group else ""
                yield FieldError(where, f"function requires target_type: lambda{of_group}")

    def _mistakes_of_accessories(self) -> Iterator[FieldError]:
        tests = self.build.test.services if self.build.test else {}
        ports: dict[str, str] = {}
        for name, accessory in self.accessories.items():
            if name in self.deploy.all_services():
                yield FieldError(("accessories", name), f"has the name of a service; name it {name}-1, for example")
            elif name in tests:
                yield FieldError(
                    ("accessories", name),
                    f"has the name of a service of the tests (build.test.services.{name}); rename one of the two",
                )
            for index, port in enumerate(accessory.ports):
                if other := next((used for used in ports if collide(used, port)), None):
                    yield FieldError(
                        ("accessories", name, "ports", index),
                        f"{port!r} has the same port of this machine as {other!r} of {ports[other]}",
                    )
            ports |= dict.fromkeys(accessory.ports, name)
