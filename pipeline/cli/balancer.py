"""`pipeline balancer`: an overview of the load balancers of all pipelines on this machine."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING

import click

from pipeline.base.clock import SYSTEM, Stamp
from pipeline.base.errors import StoreFault
from pipeline.base.home import Home
from pipeline.cli import (
    balancer_endpoints,
    balancer_explain,
    balancer_hosts,
    balancer_import_classic,
    balancer_log,
    balancer_metrics,
    balancer_serve,
    balancer_shift,
    balancer_traffic,
)
from pipeline.cli.session import json_option

if TYPE_CHECKING:
    from pipeline.engine.cluster import ClusterSpec
    from pipeline.http.balancer_report import BalancerReport

_WATCH_INTERVAL = 1.0
# The window of the first rates, which have no earlier overview to start from.
_FIRST_WINDOW = timedelta(seconds=10)


@click.group("balancer", invoke_without_command=True)
@click.option("--watch", "watching", is_flag=True, help="Refresh each second, until Ctrl-C.")
@json_option
@click.pass_context
def command(context: click.Context, watching: bool, as_json: bool) -> None:
    """Show load balancers, listeners, rules, target groups and targets of every pipeline on this machine.

    Needs no pipeline.yaml.
    """
    if context.invoked_subcommand is None:
        make = _reports()
        if watching:
            with suppress(KeyboardInterrupt):
                _watch(make, as_json=as_json)
        else:
            _show(make(), as_json=as_json)


command.add_command(balancer_log.command)
command.add_command(balancer_traffic.command)
command.add_command(balancer_metrics.command)
command.add_command(balancer_explain.command)
command.add_command(balancer_hosts.command)
command.add_command(balancer_endpoints.command)
command.add_command(balancer_shift.command)
command.add_command(balancer_import_classic.command)
command.add_command(balancer_serve.command)


def _reports() -> Callable[[], BalancerReport]:
    """Return a function that makes a report. Its rates cover the time since the previous one."""
    from pipeline.balancer.overview import Overview
    from pipeline.balancer.planes import open_balancer
    from pipeline.balancer.telemetry.traffic import Traffic
    from pipeline.http.balancer_report import BalancerReport

    balancer = open_balancer(Home.locate().balancer)
    last: Stamp | None = None

    def make() -> BalancerReport:
        nonlocal last
        now = SYSTEM.now()
        window, last = now.since(last) if last else _FIRST_WINDOW, now
        traffic = Traffic.since(now.wall - window, now.wall, balancer.access_log().newest_first())
        return BalancerReport(Overview.from_balancer(balancer, traffic), now, _clusters())

    return make


def _show(report: BalancerReport, *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(report.response().as_data()))
        return
    from pipeline.cli.balancer_tree import draw
    from pipeline.cli.console import show

    show(draw(report.overview, report.hosts()))


def _clusters() -> Mapping[str, ClusterSpec]:
    """Return the clusters of the pipelines with several hosts. Asks no engine."""
    from pipeline.store.clusters import clusters_in

    try:
        return clusters_in(Home.locate().database)
    except StoreFault:
        # The balancer needs no database.
        return {}


def _watch(make: Callable[[], BalancerReport], *, as_json: bool) -> None:
    if as_json or not sys.stdout.isatty():
        while True:
            _show(make(), as_json=as_json)
            time.sleep(_WATCH_INTERVAL)
    from rich.live import Live

    from pipeline.cli.balancer_tree import draw
    from pipeline.cli.console import literal_console

    with Live(console=literal_console(), refresh_per_second=4, vertical_overflow="crop") as live:
        while True:
            report = make()
            live.update(draw(report.overview, report.hosts()))
            time.sleep(_WATCH_INTERVAL)
