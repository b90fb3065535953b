"""The command that runs once before a new release receives traffic, such as a database migration."""

from __future__ import annotations

import secrets as randomness

from pipeline.api import StageContext
from pipeline.base.errors import StageFailed
from pipeline.base.quantity import format_duration
from pipeline.config.mounts import resolved_mounts
from pipeline.config.privileges import pids
from pipeline.config.release import ReleaseSpec
from pipeline.config.steps import ReleaseCommand
from pipeline.engine.container import ContainerSpec
from pipeline.engine.denial import hint_at_denials
from pipeline.engine.interfaces import Engine
from pipeline.engine.labels import LABEL_PIPELINE, LABEL_RELEASE, LABEL_ROLE, LABEL_RUN, ROLE_RELEASE
from pipeline.engine.task import Task
from pipeline.event_kinds import EventKind
from pipeline.store.records import Release, ReleaseState


def run_release_command(context: StageContext, engine: Engine, release: Release, spec: ReleaseSpec) -> None:
    """Run the release command, if there is one and the release has not been active before.

    It runs in the pipeline's network, with the environment, the volumes and the limits of the release's containers.
    Raises `StageFailed` if it fails or exceeds its timeout, and `Cancelled`. Its container is removed in every case.
    """
    command = spec.settings.release_command
    if command is None or release.state is not ReleaseState.PENDING:
        return
    context.events.emit(
        EventKind.RELEASE_COMMAND_STARTED, f"before release {release.number}: {' '.join(command.command)}"
    )
    started = context.clock.monotonic()
    container = _container(context, engine, release, spec, command)
    with (
        hint_at_denials("deploy", container.privileges, container.pids),
        Task(engine.containers, container, lambda line: context.log.line("release", line)) as task,
    ):
        end = task.wait(command.timeout, command.stop_grace, context.cancelled)
        if not end.in_time:
            limit = format_duration(command.timeout)
            raise StageFailed(f"the release command was still running after {limit}: stopped", tail=task.tail)
        if end.ran_out_of_memory:
            raise StageFailed("the release command used more memory than deploy.memory allows: killed", tail=task.tail)
        if end.exit_code != 0:
            child = "; one of its processes was killed for using more memory than deploy.memory allows"
            message = f"the release command failed with exit code {end.exit_code}{child * end.oom_killed}"
            raise StageFailed(message, tail=task.tail)
    seconds = round(context.clock.monotonic() - started, 3)
    context.events.emit(
        EventKind.RELEASE_COMMAND_FINISHED, f"the release command took {seconds:.1f} s", seconds=seconds
    )


def _container(
    context: StageContext, engine: Engine, release: Release, spec: ReleaseSpec, command: ReleaseCommand
) -> ContainerSpec:
    pipeline, service = release.pipeline, spec.settings
    environment = {**service.environment, **command.environment}
    return ContainerSpec(
        name=f"{pipeline}.release{release.number}.{randomness.token_hex(3)}",
        image=spec.image_id,
        labels={
            LABEL_PIPELINE: pipeline,
            LABEL_RELEASE: str(release.number),
            LABEL_RUN: str(context.run),
            LABEL_ROLE: ROLE_RELEASE,
        },
        entrypoint=command.entrypoint,
        command=command.command,
        environment=context.configuration.secrets.resolve_all(environment),
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
