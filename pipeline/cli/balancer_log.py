"""`pipeline balancer log`: the access log, as ELB writes it."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from contextlib import suppress
from itertools import islice
from typing import TYPE_CHECKING

import click

from pipeline.base.home import Home
from pipeline.cli.session import json_option

if TYPE_CHECKING:
    from pipeline.balancer.telemetry.line import Line

_POLL = 0.1


@click.command("log", short_help="The access log, with ELB's fields.")
@click.option("-n", "count", type=click.IntRange(0, 1_000_000), default=100, show_default=True, help="How many.")
@click.option("-f", "--follow", "following", is_flag=True, help="Go on with what comes, until Ctrl-C.")
@json_option
def command(count: int, following: bool, as_json: bool) -> None:
    """The latest requests, newest last, with the fields of an Application Load Balancer's access log."""
    from pipeline.balancer.haproxy.process import ACCESS_LOG
    from pipeline.balancer.telemetry.log_file import LogFile
    from pipeline.balancer.telemetry.reading import Reading

    path = Home.locate().balancer / ACCESS_LOG
    if not path.exists():
        click.echo(f"there is no access log yet; it will be {path}, from the first load balancer on", err=True)
    file, reading = LogFile(path), Reading()
    file.skip()
    latest = list(islice(reading.lines(file.newest_first()), count))
    _show(reversed(latest), as_json=as_json)
    if reading.unreadable:
        click.echo(f"{reading.unreadable} lines that made no sense are left out", err=True)
    # That is how it is meant to end.
    with suppress(KeyboardInterrupt):
        while following:
            _show(reading.lines(file.appended()), as_json=as_json)
            time.sleep(_POLL)


def _show(lines: Iterable[Line], *, as_json: bool) -> None:
    from pipeline.balancer.telemetry.entry import Entry
    from pipeline.balancer.telemetry.rendering import as_data, as_line

    for line in lines:
        entry = Entry.of(line)
        click.echo(json.dumps(as_data(entry)) if as_json else as_line(entry))
