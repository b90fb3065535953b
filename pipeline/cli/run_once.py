"""`pipeline run-once`: run a command in a new container of the active release."""

from __future__ import annotations

import secrets as randomness
import shlex
from contextlib import ExitStack
from pathlib import Path

import click

from pipeline.base.lock import work_lock
from pipeline.cli.app import CommandOfContainer, app_of, command_of
from pipeline.cli.session import pipeline_options
from pipeline.cli.terminal import attach, is_terminal
from pipeline.engine.labels import DEFAULT_SERVICE, LABEL_SERVICE


@click.command("run-once", cls=CommandOfContainer)
@click.argument("service", required=False)
@click.option("--entrypoint", metavar="TEXT", help="Replace the image's entrypoint. An empty text removes it.")
@pipeline_options
@click.pass_context
def command(
    context: click.Context, service: str | None, entrypoint: str | None, file: Path, parameters: tuple[str, ...]
) -> None:
    """Run COMMAND in a new container of the active release. Default: the service's own command.

    The container has the environment, secrets, volumes, limits and network of a replica, and no port. It is removed
    after the command, also if this process is killed. The command has the terminal, the input and the output of this
    one, and its exit code.
    """
    wanted = command_of(context)
    with app_of(file, parameters) as app:
        model = app.replica(service, running=False)
        kind = model.labels.get(LABEL_SERVICE, DEFAULT_SERVICE)
        name = f"{app.pipeline}.{kind}.once.{randomness.token_hex(3)}"
        lock, with_terminal = app.home.lock(name), is_terminal()
        # Other commands remove the container once nobody holds the lock.
        with work_lock(lock, f"run-once of {app.pipeline}"), ExitStack() as stack:
            stack.callback(lock.unlink, missing_ok=True)
            words = None if entrypoint is None else shlex.split(entrypoint)
            process = app.console.copy(model.id, name, wanted, tty=with_terminal, entrypoint=words)
            stack.callback(process.close)
            code = attach(process, with_terminal=with_terminal, forwards_signals=True)
        context.exit(code)
