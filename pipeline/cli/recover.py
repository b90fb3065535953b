"""`pipeline recover`: repairs what a crash left behind."""

from __future__ import annotations

from pathlib import Path

import click

from pipeline.cli.output import print_event, show_json
from pipeline.cli.session import json_option, pipeline_options, session
from pipeline.runner.status import PipelineStatus


@click.command("recover")
@pipeline_options
@json_option
def command(file: Path, parameters: tuple[str, ...], as_json: bool) -> None:
    """Repair what a crash left behind, and start the balancer where it has died.

    A deployment that was interrupted is taken back to the last good release. Every command that acts does the same
    first. If `pipeline serve` manages the pipeline, the daemon recovers it, and this command does nothing.
    """
    from pipeline.balancer.planes import open_balancer

    with session(file, parameters) as opened:
        situation = PipelineStatus.of(opened.home, opened.store, opened.name)
        if situation.served:
            assert situation.daemon is not None
            told = f"nothing is done here: `pipeline serve` (process {situation.daemon.pid}) recovers {opened.name}"
        else:
            # Clients first: the balancer needs no pipeline.yaml.
            restarted = open_balancer(opened.home.balancer).ensure_running()
            told = "the balancer was not running: started again" if restarted else ""
            if situation.interrupted:
                opened.runner([show_json if as_json else print_event]).recover_if_needed()
            elif not restarted:
                told = "there is nothing to recover"
        if told and not as_json:
            click.echo(told)
