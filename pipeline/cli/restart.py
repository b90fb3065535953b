"""`pipeline restart`: replace the replicas of the active release by new ones."""

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


@click.command("restart")
@click.argument("service", required=False)
@pipeline_options
@wait_option
@json_option
def command(service: str | None, file: Path, parameters: tuple[str, ...], wait: str | None, as_json: bool) -> None:
    """Replace the replicas of the active release by new ones, with the steps and limits of a deployment.

    Without SERVICE, those of all services are replaced. No request is lost. If a new replica does not become healthy,
    the others stay.
    """
    timeout = parse_wait(wait)
    with (
        session(file, parameters, acting=True, secrets_needed=True) as opened,
        handle_interrupts() as cancelled,
        event_output(opened, as_json=as_json) as shown,
    ):
        body = {"kind": "restart", "requested": service}
        submit_or_run(opened, body, lambda runner: runner.restart(service, wait=timeout), shown, cancelled)
