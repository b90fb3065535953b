"""The explanation of a connection to a network load balancer, for people."""

from __future__ import annotations

import click

from pipeline.balancer.flow_explanation import FlowExplanation
from pipeline.balancer.flow_shares import TargetShare
from pipeline.balancer.rule_text import format_listener


def show_flow(found: FlowExplanation) -> None:
    """Print the listener, and a table of the targets with their shares."""
    from pipeline.cli.console import show, table

    click.echo(f"{format_listener(found.listener)}, {found.choice}")
    nodes = found.listener.balancer.zones or {}
    for zone in found.zones:
        if zone:
            click.echo(f"node {zone}: {nodes[zone].address}")
    for name in sorted(found.sticky):
        click.echo(f"target group {name} keeps each client address with one target, so shares are those of addresses")
    rows = [_row(found, share) for share in found.shares]
    headings = [*(["node"] if nodes else []), "target group", "target", "zone", "state", "connections"]
    if rows:
        show(table(rows, *headings))
    else:
        click.echo("no targets are registered, so connections are refused")


def _row(found: FlowExplanation, share: TargetShare) -> tuple[str, ...]:
    node = (str(share.zone),) if found.listener.balancer.zones else ()
    target = share.health.target
    state = f"{share.health.state}, its group fails open" if share.fails_open else str(share.health.state)
    where = f"{target.id} {target.address}:{target.port}"
    return (*node, f"{share.group} ({share.weight:g} %)", where, target.zone or "-", state, f"{share.share:.4g} %")
