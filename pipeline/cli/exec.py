"""`pipeline exec`: run a command in a container of the application."""

from __future__ import annotations

from pathlib import Path

import click

from pipeline.cli.app import CommandOfContainer, app_of, command_of
from pipeline.cli.session import pipeline_options
from pipeline.cli.terminal import attach, is_terminal

_SHELL = ("sh",)


@click.command("exec", cls=CommandOfContainer)
@click.argument("service", required=False)
@click.option("--replica", metavar="NAME", help="Run it in this replica, by its name or the end of it.")
@pipeline_options
@click.pass_context
def command(
    context: click.Context, service: str | None, replica: str | None, file: Path, parameters: tuple[str, ...]
) -> None:
    """Run COMMAND in a running container of the active release. Default: sh.

    The command has the terminal, the input and the output of this one, and its exit code.
    """
    wanted = command_of(context) or _SHELL
    with app_of(file, parameters) as app:
        found = app.replica(service, replica, running=True)
        with_terminal = is_terminal()
        process = app.console.exec(found.id, wanted, tty=with_terminal)
        try:
            context.exit(attach(process, with_terminal=with_terminal))
        finally:
            process.close()
