"""`pipeline schema`: print the JSON Schema or the reference page of pipeline.yaml."""

from __future__ import annotations

import json

import click


@click.command("schema")
@click.option("--reference", is_flag=True, help="Print the reference page (Markdown) instead.")
@click.option("--manual", is_flag=True, help="Print the manual page (man) of the commands instead.")
def command(reference: bool, manual: bool) -> None:
    """Print the JSON Schema of pipeline.yaml, for editors."""
    if reference and manual:
        raise click.UsageError("--reference and --manual exclude each other")
    if manual:
        from pipeline.cli.manual import manual_page
        from pipeline.cli.program import cli

        click.echo(manual_page(cli), nl=False)
        return
    if reference:
        from pipeline.config.reference import reference_page

        click.echo(reference_page(), nl=False)
        return
    from pipeline.config.schema import json_schema

    click.echo(json.dumps(json_schema(), indent=2))
