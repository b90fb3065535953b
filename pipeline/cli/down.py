"""`pipeline down`: drain and remove everything of this pipeline."""

from __future__ import annotations

from pathlib import Path

import click

from pipeline.cli.daemon_run import submit_or_run
from pipeline.cli.session import (
    event_output,
    handle_interrupts,
    json_option,
    parse_wait,
    pipeline_options,
    session,
    wait_option,
)


@click.command("down")
@pipeline_options
@wait_option
@json_option
def command(file: Path, parameters: tuple[str, ...], wait: str | None, as_json: bool) -> None:
    """Drain and remove the containers, listeners, network and images of this pipeline. Keeps its history."""
    timeout = parse_wait(wait)
    with (
        session(file, parameters, acting=True) as opened,
        handle_interrupts() as cancelled,
        event_output(opened, as_json=as_json) as shown,
    ):
        submit_or_run(opened, {"kind": "down"}, lambda runner: runner.down(wait=timeout), shown, cancelled)
