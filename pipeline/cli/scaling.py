"""`pipeline scaling`: auto scaling."""

from __future__ import annotations

import click

from pipeline.cli import scaling_simulate


@click.group(short_help="Try a scaling policy on an access log.")
def command() -> None:
    """Try a policy for the number of replicas. The daemon does not scale by itself yet."""


command.add_command(scaling_simulate.command)
