"""`pipeline releases`: list the releases, and compare two of them."""

from __future__ import annotations

import json
from pathlib import Path

import click

from pipeline.cli import releases_compare
from pipeline.cli.output import date, table
from pipeline.cli.session import json_option, pipeline_options, session


@click.group("releases", invoke_without_command=True)
@pipeline_options
@json_option
@click.pass_context
def command(context: click.Context, file: Path, parameters: tuple[str, ...], as_json: bool) -> None:
    """List the releases, newest first. The `active` one receives traffic.

    A `retired` one can be rolled back to as long as its image is kept: see deploy.retain. `pipeline down` keeps none.
    """
    if context.invoked_subcommand is None:
        _list(file, parameters, as_json=as_json)


command.add_command(releases_compare.command)


def _list(file: Path, parameters: tuple[str, ...], *, as_json: bool) -> None:
    with session(file, parameters) as opened:
        releases = opened.store.releases.all(opened.name)
    if as_json:
        from pipeline.http.responses.release import DetailedReleaseResponse

        click.echo(json.dumps([DetailedReleaseResponse.from_release(r).as_data() for r in releases]))
        return
    rows = [
        (str(r.number), r.state, date(r.created_at), str(r.run), r.image_tag, f"{r.sha[:7]} {r.subject}")
        for r in releases
    ]
    table(rows, "release", "state", "created", "run", "image", "commit")
