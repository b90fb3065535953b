"""`pipeline balancer log`: the access log with ELB's fields."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any

import click

from pipeline.base.errors import ConfigError
from pipeline.base.home import Home
from pipeline.cli.session import json_option

if TYPE_CHECKING:
    from pipeline.balancer.access import AccessLog, LogRecord
    from pipeline.balancer.balancer import Balancer
    from pipeline.balancer.log_filter import LogFilter

_POLL_INTERVAL = 0.1
_MAX_PAGE = 1000


def filter_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that choose entries to a command."""
    for option in (
        click.option("--slower", metavar="TIME", help="Only requests whose target took longer, such as 500ms."),
        click.option("--method", metavar="METHOD", help="Only requests with this method."),
        click.option("--group", metavar="GROUP", help="Only requests to this target group, as PIPELINE.GROUP."),
        click.option("--target", metavar="TARGET", help="Only requests to this target: its ID, or its address."),
        click.option("--path", metavar="PATTERN", help="Only requests for these paths, such as /api/*."),
        click.option("--status", metavar="STATUS", help="Only these responses: 502, 5XX, 400-499 or 404,5XX."),
        click.option("--pipeline", metavar="NAME", help="Only requests to this pipeline."),
    ):
        command = option(command)
    return command


@click.command("log", short_help="Print the access log, with ELB's fields.")
@click.option(
    "-n", "count", type=click.IntRange(0, 1_000_000), default=100, show_default=True, help="Number of entries."
)
@click.option("-f", "--follow", "following", is_flag=True, help="Continue with new entries, until Ctrl-C.")
@filter_options
@click.option("--before", metavar="POSITION", help="Only entries before this one, by its `position` in --json.")
@json_option
def command(count: int, following: bool, before: str | None, as_json: bool, **chosen: str | None) -> None:
    """Print the latest requests and TLS connections, newest last.

    Requests have the fields of an Application Load Balancer's access log, and TLS connections those of a Network Load
    Balancer's. Connections without TLS are not logged.
    """
    from pipeline.balancer.planes import open_balancer

    if before and following:
        raise ConfigError("--before and --follow exclude each other", hint="give one of the two")
    balancer = open_balancer(Home.locate().balancer)
    wanted, log = _filter(balancer, chosen), balancer.access_log()
    if not log.path.exists():
        click.echo(f"no access log yet; the first load balancer creates {log.path}", err=True)
    # Before the latest are read, so that a request that finishes meanwhile is among those that follow.
    log.skip()
    latest = [*islice(_newest_first(log, wanted, before), count)]
    show = partial(_show, as_json=as_json)
    show(reversed(latest))
    if log.unreadable:
        click.echo(f"damaged lines skipped: {log.unreadable}", err=True)
    # Ctrl-C is the way to stop it.
    with suppress(KeyboardInterrupt):
        while following:
            show(_appended(log, wanted))
            time.sleep(_POLL_INTERVAL)


def _filter(balancer: Balancer, chosen: dict[str, str | None]) -> LogFilter:
    """Return the filter of the options. Raises `ConfigError` with the option that is wrong."""
    from pipeline.balancer.log_filter import LogFilter

    if not any(chosen.values()):
        # The models are slow to import.
        return LogFilter()
    from pipeline.http.queries import AccessLogQuery, QueryMistake, parse_query
    from pipeline.http.traffic_report import log_filter

    try:
        query = parse_query(AccessLogQuery, {name: value for name, value in chosen.items() if value is not None})
    except QueryMistake as mistake:
        raise ConfigError(f"--{mistake}") from None
    return log_filter(balancer, query)


def _newest_first(log: AccessLog, wanted: LogFilter, before: str | None) -> Iterator[tuple[str, LogRecord]]:
    while True:
        try:
            page = log.page(wanted, _MAX_PAGE, before)
        except ValueError as error:
            raise ConfigError(f"--before: {error}") from None
        yield from page.records
        if page.next is None:
            return
        before = page.next


def _appended(log: AccessLog, wanted: LogFilter) -> Iterator[tuple[None, LogRecord]]:
    from pipeline.balancer.log_match import passes

    return ((None, record) for record in log.appended() if passes(record, wanted))


def _show(records: Iterable[tuple[str | None, LogRecord]], *, as_json: bool) -> None:
    from pipeline.balancer.telemetry.rendering import as_data, as_line

    for position, record in records:
        entry = record.entry()
        click.echo(json.dumps({**as_data(entry), "position": position}) if as_json else as_line(entry))
