"""A command that runs once in a new container of a release's image: the release command, or a hook."""

from __future__ import annotations

import secrets as randomness
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from pipeline.api import StageContext
from pipeline.base.errors import StageFailed
from pipeline.base.quantity import format_duration
from pipeline.config.mounts import resolved_mounts
from pipeline.config.privileges import pids
from pipeline.config.service import ServiceSettings
from pipeline.engine.container import ContainerSpec
from pipeline.engine.denial import hint_at_denials
from pipeline.engine.interfaces import Engine
from pipeline.engine.labels import LABEL_PIPELINE, LABEL_RELEASE, LABEL_ROLE, LABEL_RUN, ROLE_RELEASE
from pipeline.engine.task import Task


@dataclass(frozen=True)
class ImageCommand:
    """A command and the service whose image, volumes, limits and network it gets.

    `noun` is what errors call it, and `step` is its step in the run's log. `environment` has its secrets resolved.
    """

    noun: str
    step: str
    image: str
    service: ServiceSettings
    command: tuple[str, ...]
    entrypoint: tuple[str, ...] | None
    environment: Mapping[str, str]
    timeout: timedelta
    stop_grace: timedelta


def run_image_command(context: StageContext, engine: Engine, release: int, wanted: ImageCommand) -> None:
    """Run a command to its end. Its container is removed in every case.

    Raises `StageFailed` if it fails or exceeds its timeout, and `Cancelled`. A container that a killed process leaves
    is removed by the next run.
    """
    container = _container(context, engine, release, wanted)
    with (
        hint_at_denials("deploy", container.privileges, container.pids),
        Task(engine.containers, container, lambda line: context.log.line(wanted.step, line)) as task,
    ):
        end = task.wait(wanted.timeout, wanted.stop_grace, context.cancelled)
        if not end.in_time:
            limit = format_duration(wanted.timeout)
            raise StageFailed(f"{wanted.noun} was still running after {limit}: stopped", tail=task.tail)
        if end.ran_out_of_memory:
            raise StageFailed(f"{wanted.noun} used more memory than deploy.memory allows: killed", tail=task.tail)
        if end.exit_code != 0:
            child = "; one of its processes was killed for using more memory than deploy.memory allows"
            message = f"{wanted.noun} failed with exit code {end.exit_code}{child * end.oom_killed}"
            raise StageFailed(message, tail=task.tail)


def _container(context: StageContext, engine: Engine, release: int, wanted: ImageCommand) -> ContainerSpec:
    pipeline, service = context.configuration.pipeline.name, wanted.service
    return ContainerSpec(
        name=f"{pipeline}.{wanted.step}{release}.{randomness.token_hex(3)}",
        image=wanted.image,
        labels={
            LABEL_PIPELINE: pipeline,
            LABEL_RELEASE: str(release),
            LABEL_RUN: str(context.run),
            LABEL_ROLE: ROLE_RELEASE,
        },
        entrypoint=wanted.entrypoint,
        command=wanted.command,
        environment=wanted.environment,
        volumes=resolved_mounts(context.home.policy(pipeline), service.volumes),
        memory=service.memory,
        cpus=service.cpus,
        init=service.init,
        shm_size=service.shm_size,
        pids=pids(service.pids_limit),
        privileges=service.privileges,
        options=service.container_options.of_command(),
        network=engine.networks.name(pipeline),
        address=str(engine.networks.free_address(pipeline)),
    )
