"""`pipeline scaling`: auto scaling."""

from __future__ import annotations

import click

from pipeline.cli import scaling_simulate, scaling_status, scaling_suspend


@click.group(
    invoke_without_command=True,
    short_help="Show, suspend and resume auto scaling, and try a policy on an access log.",
)
@click.pass_context
def command(context: click.Context) -> None:
    """Show the services whose number of containers the daemon changes by their load: the key `scaling`.

    Without a command, it is `pipeline scaling status`.
    """
    if context.invoked_subcommand is None:
        context.invoke(scaling_status.command)


for _command in (scaling_status.command, scaling_suspend.suspend, scaling_suspend.resume, scaling_simulate.command):
    command.add_command(_command)
