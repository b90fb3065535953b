"""`pipeline balancer hosts`: the names of load balancers for a hosts file."""

from __future__ import annotations

import json
from functools import partial

import click

from pipeline.base.home import Home
from pipeline.cli.session import json_option


@click.command("hosts", short_help="Print the load balancers' names for a hosts file.")
@json_option
def command(as_json: bool) -> None:
    """Print lines for a hosts file: each address of a load balancer with its names in elb.internal.

    A hosts file does not follow the health of zones. `pipeline serve --dns` does.
    """
    from pipeline.balancer.names.directory import Directory
    from pipeline.balancer.names.hosts import hosts
    from pipeline.balancer.names.machine import address_towards
    from pipeline.balancer.planes import open_balancer

    registry = open_balancer(Home.locate().balancer).registry()
    found = hosts(Directory.from_registry(registry, lambda *_: True), partial(address_towards, None))
    if as_json:
        click.echo(json.dumps([{"address": address, "names": names} for address, names in found.items()]))
        return
    width = max(map(len, found), default=0)
    for address, names in found.items():
        click.echo(f"{address.ljust(width)}  {' '.join(names)}")
