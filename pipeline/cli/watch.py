"""`pipeline watch`: run new commits of one pipeline in the foreground."""

from __future__ import annotations

from pathlib import Path

import click

from pipeline.cli.serve import serve
from pipeline.cli.session import file_option, json_option


@click.command("watch")
@file_option
@json_option
def command(file: Path, as_json: bool) -> None:
    """Run each new commit and keep the deployed release healthy, until Ctrl-C.

    Like `pipeline serve` for one pipeline, without webhooks.
    """
    serve((file,), as_json=as_json)
