"""`pipeline run`: build, test and roll out a commit."""

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


@click.command("run")
@click.argument("commit", required=False)
@pipeline_options
@click.option("--force", is_flag=True, help="Run even if no file of source.paths changed.")
@click.option("--pull", is_flag=True, help="Pull base images and other images again, and build if one has changed.")
@click.option("--no-cache", is_flag=True, help="Build without the builder's cache, and test again.")
@click.option("--take-over", is_flag=True, help="Take over the pipeline of this name from another file.")
@wait_option
@json_option
def command(
    commit: str | None,
    file: Path,
    parameters: tuple[str, ...],
    force: bool,
    pull: bool,
    no_cache: bool,
    take_over: bool,
    wait: str | None,
    as_json: bool,
) -> None:
    """Build, test and roll out COMMIT: a branch, a tag or a commit id. Default: source.branch.

    If the release does not become healthy, Penstock rolls back to the previous one and exits with code 4.
    """
    timeout = parse_wait(wait)
    wanted = {"force": force, "pull": pull, "no_cache": no_cache}
    with (
        session(file, parameters, acting=True, secrets_needed=True) as opened,
        handle_interrupts() as cancelled,
        event_output(opened, as_json=as_json) as shown,
    ):
        submit_or_run(
            opened,
            {"requested": commit, "configuration": "file", **wanted},
            lambda runner: runner.run(commit, **wanted, take_over=take_over, wait=timeout),
            shown,
            cancelled,
        )
