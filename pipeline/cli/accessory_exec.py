"""`pipeline accessory exec`: run a command in the container of an accessory."""

from __future__ import annotations

from pathlib import Path

import click

from pipeline.cli.accessory_container import accessory_container
from pipeline.cli.app import CommandOfContainer, command_of
from pipeline.cli.session import pipeline_options
from pipeline.cli.terminal import attach, is_terminal

_SHELL = ("sh",)


@click.command("exec", cls=CommandOfContainer)
@click.argument("name")
@pipeline_options
@click.pass_context
def command(context: click.Context, name: str, file: Path, parameters: tuple[str, ...]) -> None:
    """Run COMMAND in the container of the accessory NAME. Default: sh.

    The command has the terminal, the input and the output of this one, and its exit code.
    """
    wanted = command_of(context) or _SHELL
    with accessory_container(file, parameters, name, running=True) as (console, container):
        with_terminal = is_terminal()
        process = console.exec(container.id, wanted, tty=with_terminal)
        try:
            context.exit(attach(process, with_terminal=with_terminal))
        finally:
            process.close()
