"""`pipeline job cancel`: stop the run of a job."""

from __future__ import annotations

from pathlib import Path

import click

from pipeline.cli.session import pipeline_options, session


@click.command("cancel")
@click.argument("name")
@pipeline_options
def command(name: str, file: Path, parameters: tuple[str, ...]) -> None:
    """Stop the run of the job NAME: SIGTERM, and SIGKILL after its `stop_grace`.

    Works with and without the daemon, and for runs of `pipeline job run`. The next time of the schedule runs again.
    """
    from pipeline.engine.hosts import local_engine
    from pipeline.jobs.by_command import running_run
    from pipeline.jobs.stop import stop_run
    from pipeline.runner.context import PipelineContext

    with session(file, parameters) as opened:
        running = running_run(opened.store, opened.name, name)
        context = PipelineContext(opened.home, opened.configuration, opened.store, by=opened.user).stage_context()
        with local_engine(opened.home.id) as engine:
            done = stop_run(context, engine, running)
    click.echo(f"run {done.number} of {name}: {done.state.replace('_', ' ')}")
