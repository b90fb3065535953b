"""`pipeline scale`: change the number of replicas."""

from __future__ import annotations

from pathlib import Path

import click

from pipeline.base.errors import ConfigError
from pipeline.cli.daemon_run import submit_or_run
from pipeline.cli.session import (
    Session,
    event_output,
    handle_interrupts,
    json_option,
    parse_wait,
    pipeline_options,
    session,
    wait_option,
)
from pipeline.config.release import service_names
from pipeline.engine.labels import DEFAULT_SERVICE
from pipeline.store.records import MAX_REPLICAS, is_scale
from pipeline.store.services import job_names


@click.command("scale")
@click.argument("wanted", metavar="[SERVICE=]REPLICAS")
@pipeline_options
@wait_option
@json_option
def command(wanted: str, file: Path, parameters: tuple[str, ...], wait: str | None, as_json: bool) -> None:
    """Change the number of replicas of the active release, such as `pipeline scale web=5`.

    SERVICE is required if there are several. Later deployments keep the number, until the one in pipeline.yaml changes.
    With `scaling`, it must be within the bounds, and lasts until the next decision that needs another one.
    """
    timeout, is_named = parse_wait(wait), "=" in wanted
    if not is_scale(wanted if is_named else f"{DEFAULT_SERVICE}={wanted}"):
        raise ConfigError(f"{wanted}: must be a number of replicas from 1 to {MAX_REPLICAS}, such as web=5")
    with (
        session(file, parameters, acting=True, secrets_needed=True) as opened,
        handle_interrupts() as cancelled,
        event_output(opened, as_json=as_json) as shown,
    ):
        text = wanted if is_named else f"{_only_service(opened)}={wanted}"
        body = {"kind": "scale", "requested": text}
        submit_or_run(opened, body, lambda runner: runner.scale(text, wait=timeout), shown, cancelled)


def _only_service(opened: Session) -> str:
    active = opened.store.releases.active(opened.name)
    names = service_names(active.spec) if active else (DEFAULT_SERVICE,)
    if active and not names:
        jobs = job_names(active.spec)
        raise ConfigError(
            f"{opened.name} has only jobs, which have no replicas", hint=f"`pipeline job run {jobs[0]}` runs one now"
        )
    if len(names) > 1:
        raise ConfigError(f"{opened.name} has several services: {', '.join(names)}", hint=f"name one: {names[0]}=5")
    return names[0]
