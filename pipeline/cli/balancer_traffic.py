"""`pipeline balancer traffic`: requests, errors and response times of the last minutes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from pipeline.base.home import Home
from pipeline.base.suggestion import not_declared
from pipeline.cli.output import clock, table
from pipeline.cli.session import json_option

if TYPE_CHECKING:
    from pipeline.http.responses.traffic import DeploymentMarkResponse, TrafficResponse, TrafficStepResponse

_MAX_SECONDS = 3600


@click.command("traffic", short_help="Print requests, errors and response times of the last minutes.")
@click.option("--pipeline", metavar="NAME", help="Only the target groups of this pipeline.")
@click.option("--group", metavar="GROUP", help="Only this target group, as PIPELINE.GROUP.")
@click.option(
    "--seconds", type=click.IntRange(1, _MAX_SECONDS), default=300, show_default=True, help="Length of the window."
)
@click.option("--step", type=click.IntRange(1, _MAX_SECONDS), default=15, show_default=True, help="Seconds of a line.")
@json_option
def command(pipeline: str | None, group: str | None, seconds: int, step: int, as_json: bool) -> None:
    """Print requests a second, errors and response times by step, from the access log, with the deployments.

    p50 and p99 are the times that half and 99 of 100 responses did not exceed. 4XX and 5XX count responses, also those
    of the load balancer. Only requests through application load balancers are counted. Of a long log, only the last
    16 MiB are read.
    """
    from pipeline.balancer.planes import open_balancer
    from pipeline.balancer.telemetry.traffic_follower import TrafficFollower
    from pipeline.base.clock import SYSTEM
    from pipeline.http.queries import TrafficQuery
    from pipeline.http.traffic_report import TrafficReports
    from pipeline.store.store import Store

    home = Home.locate()
    balancer = open_balancer(home.balancer)
    with Store(home.database) as store:
        reports = TrafficReports(balancer, TrafficFollower(balancer.access_log, SYSTEM), store.deployments.between)
        found = reports.traffic(TrafficQuery(pipeline=pipeline, group=group, seconds=seconds, step=step))
    known = {*found.groups, *(f"{owner}.{name}" for owner, name in balancer.registry().groups())}
    if group and group not in known:
        raise not_declared(f"target group {group}", known, group)
    if as_json:
        click.echo(json.dumps(found.as_data()))
    elif found.steps and not (log := balancer.access_log().path).exists():
        click.echo(f"no access log yet; the first load balancer creates {log}", err=True)
    else:
        _show(found)


def _show(found: TrafficResponse) -> None:
    if not found.steps:
        click.echo("the access log has no requests yet", err=True)
    else:
        rows = [_row(step) for step in found.steps]
        table(rows, "begin", "requests/s", "4xx", "5xx", "p50", "p99")
    for mark in found.deployments:
        click.echo(_deployment(mark))


def _row(step: TrafficStepResponse) -> tuple[str, ...]:
    times = ("-" if value is None else f"{1000 * value:.0f} ms" for value in (step.p50, step.p99))
    return (clock(step.at), f"{step.rate:.1f}", str(step.errors_4xx), str(step.errors_5xx), *times)


def _deployment(mark: DeploymentMarkResponse) -> str:
    to = "nothing" if mark.to_release is None else f"release {mark.to_release}"
    until = f" to {clock(mark.finished_at)}" if mark.finished_at else ""
    state = str(mark.state).replace("_", " ")
    return f"{clock(mark.started_at)}{until}  deployment of {to} of {mark.pipeline}, run {mark.run}: {state}"
