"""`pipeline watch`: run new commits of one pipeline in the foreground."""

from __future__ import annotations

from pathlib import Path

import click

from pipeline.cli.serve import serve
from pipeline.cli.session import FILE, json_option


@click.command("watch")
@click.option(
    "-f",
    "--file",
    "file",
    type=click.Path(path_type=Path),
    default=FILE,
    show_default=True,
    help="File of the pipeline.",
)
@json_option
def command(file: Path, as_json: bool) -> None:
    """Run each new commit and keep the deployed release healthy, until Ctrl-C.

    Like `pipeline serve` for one pipeline, without webhooks.
    """
    serve((file,), as_json=as_json)
