"""`pipeline down`: drain and remove everything of this pipeline."""

from __future__ import annotations

from pathlib import Path

import click

from pipeline.cli.daemon_run import have_run
from pipeline.cli.session import (
    cancellable,
    events_shown,
    json_option,
    patience_of,
    pipeline_options,
    session,
    wait_option,
)


@click.command("down")
@pipeline_options
@wait_option
@json_option
def command(file: Path, parameters: tuple[str, ...], wait: str | None, as_json: bool) -> None:
    """Drain and remove the containers, listeners, network and images of this pipeline; its history stays."""
    patience = patience_of(wait)
    with (
        session(file, parameters, acting=True) as opened,
        cancellable() as cancelled,
        events_shown(opened, as_json=as_json) as shown,
    ):
        have_run(opened, {"kind": "down"}, lambda runner: runner.down(wait=patience), shown, cancelled)
