"""`pipeline balancer log`: the access log with ELB's fields."""

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
    from pipeline.balancer.access import LogRecord

_POLL_INTERVAL = 0.1


@click.command("log", short_help="Print the access log, with ELB's fields.")
@click.option(
    "-n", "count", type=click.IntRange(0, 1_000_000), default=100, show_default=True, help="Number of entries."
)
@click.option("-f", "--follow", "following", is_flag=True, help="Continue with new entries, until Ctrl-C.")
@json_option
def command(count: int, following: bool, as_json: bool) -> None:
    """Print the latest requests and TLS connections, newest last.

    Requests have the fields of an Application Load Balancer's access log, and TLS connections those of a Network Load
    Balancer's. Connections without TLS are not logged.
    """
    from pipeline.balancer.planes import open_balancer

    log = open_balancer(Home.locate().balancer).access_log()
    if not log.path.exists():
        click.echo(f"no access log yet; the first load balancer creates {log.path}", err=True)
    # Before the latest are read, so that a request that finishes meanwhile is among those that follow.
    log.skip()
    latest = list(islice(log.newest_first(), count))
    _show(reversed(latest), as_json=as_json)
    if log.unreadable:
        click.echo(f"damaged lines skipped: {log.unreadable}", err=True)
    # Ctrl-C is the way to stop it.
    with suppress(KeyboardInterrupt):
        while following:
            _show(log.appended(), as_json=as_json)
            time.sleep(_POLL_INTERVAL)


def _show(records: Iterable[LogRecord], *, as_json: bool) -> None:
    from pipeline.balancer.telemetry.rendering import as_data, as_line

    for record in records:
        entry = record.entry()
        click.echo(json.dumps(as_data(entry)) if as_json else as_line(entry))
