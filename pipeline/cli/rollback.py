"""`pipeline rollback`: roll back to a previous release."""

from __future__ import annotations

import json
from pathlib import Path

import click

from pipeline.base.whole_number import LARGEST
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


@click.command("rollback")
@click.argument("release", type=click.IntRange(1, LARGEST), required=False)
@pipeline_options
@click.option("--plan", "planning", is_flag=True, help="Show the steps instead, as `pipeline plan` does.")
@wait_option
@json_option
def command(
    release: int | None, file: Path, parameters: tuple[str, ...], planning: bool, wait: str | None, as_json: bool
) -> None:
    """Roll back to RELEASE without a build. Default: the release before the active one.

    The number of replicas stays as it is.
    """
    timeout = parse_wait(wait)
    if planning:
        _show_plan(release, file, parameters, as_json=as_json)
        return
    with (
        session(file, parameters, acting=True, secrets_needed=True) as opened,
        handle_interrupts() as cancelled,
        event_output(opened, as_json=as_json) as shown,
    ):
        body = {"kind": "rollback", "requested": str(release) if release else None}
        submit_or_run(opened, body, lambda runner: runner.rollback(release, wait=timeout), shown, cancelled)


def _show_plan(release: int | None, file: Path, parameters: tuple[str, ...], *, as_json: bool) -> None:
    from pipeline.http.plan_report import rollback_plan
    from pipeline.runner.context import PipelineContext

    with session(file, parameters, secrets_needed=True) as opened:
        found = rollback_plan(PipelineContext(opened.home, opened.configuration, opened.store), release)
    if as_json:
        click.echo(json.dumps(found.as_data()))
        return
    click.echo(f"Roll back to release {found.release}")
    for step in found.deploy:
        click.echo(f"  {step}")
