"""What a deletion of a stack would do, as text."""

from __future__ import annotations

import json
from collections.abc import Collection

import click

from pipeline.cli.output import table


def show_deletion(name: str, owner: str, retained: Collection[str], *, as_json: bool) -> None:
    """Print what a deletion would do with each resource, and what makes it impossible. Changes nothing."""
    from pipeline.base.home import Home
    from pipeline.http.stack_report import StackReport
    from pipeline.store.store import Store

    with Store(Home.locate().database) as store:
        found = StackReport(store, owner).deletion(name, retained)
    if as_json:
        click.echo(json.dumps(found.as_data()))
        return
    rows = [(each.action, each.resource, each.type, each.physical_id or "") for each in found.steps]
    if rows:
        table(rows, "action", "resource", "type", "physical id")
    else:
        click.echo("it has no resources")
    for obstacle in found.obstacles:
        click.echo(f"cannot be deleted now: {obstacle}")
