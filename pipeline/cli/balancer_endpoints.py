"""`pipeline balancer endpoints`: which networks reach gateway load balancers, and whether they may."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from pipeline.base.home import Home
from pipeline.cli.output import table
from pipeline.cli.session import json_option
from pipeline.cli.user import current_user

if TYPE_CHECKING:
    from pipeline.daemon.endpoint_control import EndpointControl
    from pipeline.http.responses.balancer_endpoint import EndpointResponse

_endpoint = click.argument("endpoint")


@click.group("endpoints", invoke_without_command=True, short_help="Show endpoints, accept and reject them.")
@json_option
@click.pass_context
def command(context: click.Context, as_json: bool) -> None:
    """Show the endpoints of gateway load balancers: their services, states, networks and flows.

    Needs no pipeline.yaml.
    """
    if context.invoked_subcommand is not None:
        return
    from pipeline.balancer.planes import open_balancer
    from pipeline.http.endpoint_report import endpoint_responses

    found = endpoint_responses(open_balancer(Home.locate().balancer))
    if as_json:
        click.echo(json.dumps([each.as_data() for each in found]))
    elif found:
        table([_row(each) for each in found], "endpoint", "id", "service", "state", "networks", "flows", "bytes", "")
    else:
        click.echo("no endpoint is declared")


@command.command("accept")
@_endpoint
def accept(endpoint: str) -> None:
    """Let ENDPOINT send its packets to its service.

    ENDPOINT is its id, NAME or NAME.OWNER. Deployments of both pipelines keep the decision.
    """
    with _control() as control:
        found, is_changed = control.accept(endpoint, by=current_user())
    click.echo(f"endpoint {found.label} is accepted{'' if is_changed else ' already'}")
    if found.reason:
        click.echo(f"it carries no packets: {found.reason}")


@command.command("reject")
@_endpoint
def reject(endpoint: str) -> None:
    """Refuse the packets of ENDPOINT, also if it was accepted. Its networks are detached.

    ENDPOINT is its id, NAME or NAME.OWNER. Deployments of both pipelines keep the decision.
    """
    with _control() as control:
        found, is_changed = control.reject(endpoint, by=current_user())
    click.echo(f"endpoint {found.label} is rejected{'' if is_changed else ' already'}")


@contextmanager
def _control() -> Iterator[EndpointControl]:
    from pipeline.balancer.planes import open_balancer
    from pipeline.daemon.endpoint_control import EndpointControl
    from pipeline.store.store import Store

    home = Home.locate()
    with Store(home.database) as store:
        yield EndpointControl(open_balancer(home.balancer), store.events.record)


def _row(endpoint: EndpointResponse) -> tuple[str, ...]:
    counts = [str(endpoint.counts[name]) if name in endpoint.counts else "-" for name in ("active", "bytes")]
    detached = [f"{network.name} is not attached: {network.fault}" for network in endpoint.networks if network.fault]
    networks = ", ".join(network.name for network in endpoint.networks)
    reasons = "; ".join([endpoint.reason] if endpoint.reason else detached)
    label = f"{endpoint.name}.{endpoint.owner}"
    return (label, endpoint.id, endpoint.service, endpoint.state, networks, *counts, reasons)
