"""`pipeline balancer`: an overview of the load balancers of all pipelines on this machine."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING

import click

from pipeline.base.clock import SYSTEM, Stamp
from pipeline.base.errors import StoreFault
from pipeline.base.home import Home
from pipeline.cli import (
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
    from pipeline.balancer.overview import Overview

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
        take = _overviews()
        if watching:
            with suppress(KeyboardInterrupt):
                _watch(take, as_json=as_json)
        else:
            _show(take(), as_json=as_json)


command.add_command(balancer_log.command)
command.add_command(balancer_traffic.command)
command.add_command(balancer_metrics.command)
command.add_command(balancer_explain.command)
command.add_command(balancer_hosts.command)
command.add_command(balancer_shift.command)
command.add_command(balancer_import_classic.command)
command.add_command(balancer_serve.command)


def _overviews() -> Callable[[], Overview]:
    """Return a function that takes an overview. Its rates cover the time since the previous one."""
    from pipeline.balancer.overview import Overview
    from pipeline.balancer.planes import open_balancer

    balancer = open_balancer(Home.locate().balancer)
    last: Stamp | None = None

    def take() -> Overview:
        nonlocal last
        now = SYSTEM.now()
        window, last = now.since(last) if last else _FIRST_WINDOW, now
        return Overview.from_balancer(balancer, now.wall - window, now.wall)

    return take


def _show(overview: Overview, *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps({**overview.as_data(), "hosts": _hosts(overview)}))
        return
    from pipeline.cli.balancer_tree import draw
    from pipeline.cli.console import show

    show(draw(overview, _hosts(overview)))


def _hosts(overview: Overview) -> dict[str, str]:
    """Return the host of each target whose pipeline has several, by the target's id. Asks no engine."""
    from pipeline.store.clusters import clusters_in

    try:
        clusters = clusters_in(Home.locate().database)
    except StoreFault:
        # The balancer needs no database.
        return {}
    if not clusters:
        return {}
    targets = [health.target for group in overview.targets.values() for health in group]
    places = ((each.id, clusters.get(each.id.partition(".")[0]), each.address) for each in targets)
    return {name: host for name, cluster, address in places if cluster and (host := cluster.host_at(address))}


def _watch(take: Callable[[], Overview], *, as_json: bool) -> None:
    if as_json or not sys.stdout.isatty():
        while True:
            _show(take(), as_json=as_json)
            time.sleep(_WATCH_INTERVAL)
    from rich.live import Live

    from pipeline.cli.balancer_tree import draw
    from pipeline.cli.console import literal_console

    with Live(console=literal_console(), refresh_per_second=4, vertical_overflow="crop") as live:
        while True:
            overview = take()
            live.update(draw(overview, _hosts(overview)))
            time.sleep(_WATCH_INTERVAL)
