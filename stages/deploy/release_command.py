"""The command that runs once before a new release receives traffic, such as a database migration."""

from __future__ import annotations

from pipeline.api import StageContext
from pipeline.config.release import ReleaseSpec
from pipeline.engine.interfaces import Engine
from pipeline.event_kinds import EventKind
from pipeline.store.records import Release, ReleaseState
from stages.deploy.image_command import ImageCommand, run_image_command


def run_release_command(context: StageContext, engine: Engine, release: Release, spec: ReleaseSpec) -> None:
    """Run the release command, if there is one and the release has not been active before.

    It runs in the pipeline's network, with the environment, the volumes and the limits of the release's containers.
    Raises what `run_image_command` raises.
    """
    service, command = spec.settings, spec.settings.release_command
    if command is None or release.state is not ReleaseState.PENDING:
        return
    context.events.emit(
        EventKind.RELEASE_COMMAND_STARTED, f"before release {release.number}: {' '.join(command.command)}"
    )
    started = context.clock.monotonic()
    wanted = ImageCommand(
        noun="the release command",
        step="release",
        image=spec.image_id,
        service=service,
        command=command.command,
        entrypoint=command.entrypoint,
        environment=context.configuration.secrets.resolve_all({**service.environment, **command.environment}),
        timeout=command.timeout,
        stop_grace=command.stop_grace,
    )
    run_image_command(context, engine, release.number, wanted)
    seconds = round(context.clock.monotonic() - started, 3)
    context.events.emit(
        EventKind.RELEASE_COMMAND_FINISHED, f"the release command took {seconds:.1f} s", seconds=seconds
    )
