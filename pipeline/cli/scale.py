"""`pipeline scale`: change the number of replicas."""

from __future__ import annotations

from pathlib import Path

import click

from pipeline.base.errors import ConfigError
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
from pipeline.engine.labels import DEFAULT_SERVICE
from pipeline.store.records import MAX_REPLICAS, is_scale


@click.command("scale")
@click.argument("wanted", metavar="[SERVICE=]REPLICAS")
@pipeline_options
@wait_option
@json_option
def command(wanted: str, file: Path, parameters: tuple[str, ...], wait: str | None, as_json: bool) -> None:
    """Change the number of replicas of the active release, such as `pipeline scale web=5`.

    Later deployments keep the number, until deploy.replicas in pipeline.yaml changes.
    """
    timeout, text = parse_wait(wait), wanted if "=" in wanted else f"{DEFAULT_SERVICE}={wanted}"
    if not is_scale(text):
        raise ConfigError(f"{wanted}: must be a number of replicas from 1 to {MAX_REPLICAS}, such as web=5")
    with (
        session(file, parameters, acting=True, secrets_needed=True) as opened,
        handle_interrupts() as cancelled,
        event_output(opened, as_json=as_json) as shown,
    ):
        body = {"kind": "scale", "requested": text}
        submit_or_run(opened, body, lambda runner: runner.scale(text, wait=timeout), shown, cancelled)
