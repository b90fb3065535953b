"""`pipeline watch`: run what is new in one repository, in the foreground."""

from __future__ import annotations

from pathlib import Path

import click

from pipeline.cli.serve import serve
from pipeline.cli.session import FILE, json_option


@click.command("watch")
@click.option(
    "-f", "--file", "file", type=click.Path(path_type=Path), default=FILE, show_default=True, help="The pipeline."
)
@json_option
def command(file: Path, as_json: bool) -> None:
    """Run each commit as it comes and keep in service what is deployed, until Ctrl-C.

    What `pipeline serve` does for one pipeline, without webhooks.
    """
    serve((file,), as_json=as_json)
