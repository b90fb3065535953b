"""`pipeline accessory logs`: the output of an accessory's container."""

from __future__ import annotations

import json
import time
from contextlib import closing
from pathlib import Path

import click

from pipeline.cli.accessory_container import accessory_container
from pipeline.cli.session import FILE, json_option, parameter_option
from pipeline.engine.console import STAMP_LENGTH, Console
from pipeline.engine.container import Container

# In seconds. Between two reads, lines collect in the connection.
_READ_INTERVAL = 0.1


@click.command("logs")
@click.argument("name")
# As in `pipeline logs`, -f follows.
@click.option("--file", type=click.Path(path_type=Path), default=FILE, show_default=True, help="File of the pipeline.")
@parameter_option
@click.option("-f", "-F", "--follow", "following", is_flag=True, help="Continue until the container stops.")
@click.option("--tail", metavar="LINES", type=click.IntRange(0, 1_000_000), help="Begin with the last LINES lines.")
@json_option
def command(
    name: str, file: Path, parameters: tuple[str, ...], following: bool, tail: int | None, as_json: bool
) -> None:
    """Print the output of the accessory NAME that Docker has kept, also of a stopped container."""
    with accessory_container(file, parameters, name, running=False) as (console, container):
        if as_json:
            _print_json(console, container, following=following, tail=tail)
            return
        stream = console.log(container.id, follow=following, tail=tail)
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


def _print_json(console: Console, container: Container, *, following: bool, tail: int | None) -> None:
    # Imported here, since it is slow.
    from pipeline.http.accessory_log import AccessoryLog

    with closing(AccessoryLog(console, container, follow=following, tail=tail)) as log:
        while (lines := log.poll()) is not None:
            for line in lines:
                click.echo(json.dumps(line.as_data()))
            if not lines:
                time.sleep(_READ_INTERVAL)
