"""`pipeline accessory logs`: the output of an accessory's container."""

from __future__ import annotations

import time
from pathlib import Path

import click

from pipeline.cli.accessory_container import accessory_container
from pipeline.cli.session import FILE, parameter_option
from pipeline.engine.console import STAMP_LENGTH

# In seconds. Between two reads, lines collect in the connection.
_READ_INTERVAL = 0.1


@click.command("logs")
@click.argument("name")
# As in `pipeline logs`, -f follows.
@click.option("--file", type=click.Path(path_type=Path), default=FILE, show_default=True, help="File of the pipeline.")
@parameter_option
@click.option("-f", "-F", "--follow", "following", is_flag=True, help="Continue until the container stops.")
def command(name: str, file: Path, parameters: tuple[str, ...], following: bool) -> None:
    """Print the output of the accessory NAME that Docker has kept, also of a stopped container."""
    with accessory_container(file, parameters, name, running=False) as (console, container):
        stream = console.log(container.id, follow=following)
        if stream is None:
            click.echo(f"Docker has no log of {container.name}", err=True)
            return
        try:
            while (lines := stream.arrived()) is not None:
                for line in lines:
                    click.echo(line[STAMP_LENGTH + 1 :])
                if not lines:
                    time.sleep(_READ_INTERVAL)
        finally:
            stream.close()
