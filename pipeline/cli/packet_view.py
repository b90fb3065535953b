"""The explanation of a packet at an endpoint, for people."""

from __future__ import annotations

import click

from pipeline.balancer.packet_explanation import PacketExplanation


def show_packet(found: PacketExplanation) -> None:
    """Print the way of the packet, a table of the appliances, and why one of them gets the flow."""
    from pipeline.cli.console import show, table

    endpoint, listener = found.endpoint.endpoint, found.listener
    click.echo(f"{found.question}, a flow of {found.fields} fields")
    click.echo(f"{endpoint.label}, {endpoint.endpoint_id}, load balancer {listener.name} of {listener.owner}")
    rows = [
        (
            f"{one.target.id} {one.target.address}",
            one.target.zone or "-",
            str(one.state),
            "this flow" if one is found.chosen else "new flows" if one in found.eligible else "none",
        )
        for one in found.targets
    ]
    if rows:
        show(table(rows, listener.group, "zone", "state", "gets"))
    click.echo(found.reason)
