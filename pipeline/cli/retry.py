"""`pipeline retry`: retry a run that did not succeed."""

from __future__ import annotations

from pathlib import Path

import click

from pipeline.base.errors import ConfigError
from pipeline.base.whole_number import LARGEST
from pipeline.cli.daemon_run import follow
from pipeline.cli.session import event_output, handle_interrupts, json_option, pipeline_options, session


@click.command("retry")
@click.argument("run", type=click.IntRange(1, LARGEST))
@pipeline_options
@json_option
def command(run: int, file: Path, parameters: tuple[str, ...], as_json: bool) -> None:
    """Queue a new run of RUN's commit. An image that was built and tested is reused."""
    with (
        session(file, parameters, acting=True) as opened,
        handle_interrupts() as cancelled,
        event_output(opened, as_json=as_json) as shown,
    ):
        if opened.daemon is None:
            found = opened.store.runs.get(opened.name, run)
            what = f"pipeline run {found.sha[:12]}" if found and found.sha else "pipeline run"
            raise ConfigError(
                "a retry needs `pipeline serve`, which does not manage this pipeline", hint=f"run it now with `{what}`"
            )
        queued = opened.daemon.ask("POST", f"/v1/pipelines/{opened.name}/runs/{run}/retry", {"by": opened.user})
        follow(opened, queued["number"], shown, cancelled)
