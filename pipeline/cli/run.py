"""`pipeline run`: build, test and roll out a commit."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import click

from pipeline.cli.session import cancellable, events_shown, json_option, pipeline_options, session, wait_option
from pipeline.errors import ConfigError
from pipeline.quantity import parse_duration


@click.command("run")
@click.argument("commit", required=False)
@pipeline_options
@click.option("--force", is_flag=True, help="Run even when nothing under source.paths changed.")
@click.option("--take-over", is_flag=True, help="The pipeline of this name in another file is this one: it has moved.")
@wait_option
@json_option
def command(
    commit: str | None,
    file: Path,
    parameters: tuple[str, ...],
    force: bool,
    take_over: bool,
    wait: str | None,
    as_json: bool,
) -> None:
    """Build, test and roll out COMMIT: a branch, a tag or a commit id; source.branch when it is not given.

    When the release does not become healthy, the former one is put back and the exit code is 4.
    """
    patience = patience_of(wait)
    with (
        session(file, parameters, secrets_needed=True) as opened,
        cancellable() as cancelled,
        events_shown(opened, as_json=as_json) as shown,
    ):
        opened.runner([shown], cancelled).run(commit, force=force, take_over=take_over, wait=patience)


def patience_of(wait: str | None) -> timedelta:
    """`--wait` as a duration."""
    try:
        return parse_duration(wait) if wait else timedelta(0)
    except ValueError as error:
        raise ConfigError(f"--wait: {error}") from error
