"""`pipeline schema`: print the JSON Schema or the reference page of pipeline.yaml."""

from __future__ import annotations

import json

import click


@click.command("schema")
@click.option("--reference", is_flag=True, help="Print the reference page (Markdown) instead.")
def command(reference: bool) -> None:
    """Print the JSON Schema of pipeline.yaml, for editors."""
    if reference:
        from pipeline.config.reference import reference_page

        click.echo(reference_page(), nl=False)
        return
    from pipeline.config.schema import json_schema

    click.echo(json.dumps(json_schema(), indent=2))
