"""`pipeline job`: the scheduled jobs of a pipeline, and their runs."""

from __future__ import annotations

import click

from pipeline.cli import job_cancel, job_history, job_list, job_logs, job_run


@click.group("job")
def command() -> None:
    """List, run and cancel scheduled jobs: the services of deploy.services that have a `schedule`.

    `pipeline serve` runs them by the clock.
    """


for _command in (job_list.command, job_run.command, job_history.command, job_logs.command, job_cancel.command):
    command.add_command(_command)
