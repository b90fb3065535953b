"""`pipeline cancel`: cancel a run."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from pathlib import Path

import click

from pipeline.base.errors import ConfigError, SystemFault
from pipeline.base.lock import holder
from pipeline.base.whole_number import LARGEST
from pipeline.cli.session import pipeline_options, session
from pipeline.store.records import RunState


@click.command("cancel")
@click.argument("run", type=click.IntRange(1, LARGEST))
@pipeline_options
def command(run: int, file: Path, parameters: tuple[str, ...]) -> None:
    """Cancel RUN. A queued run ends immediately. A running one stops, or rolls back its deployment."""
    with session(file, parameters, acting=True) as opened:
        if opened.daemon is not None:
            opened.daemon.ask("POST", f"/v1/pipelines/{opened.name}/runs/{run}/cancel", {"by": opened.user})
            click.echo(f"cancelling run {run}")
            return
        found = opened.store.runs.get(opened.name, run)
        if found is None:
            raise ConfigError(f"there is no run {run}", hint="list runs with `pipeline history`")
        found = opened.store.queue.cancel(opened.name, run, by=opened.user)
        working = holder(opened.home.lock(opened.name))
        daemon = holder(opened.home.daemon_lock)
        if daemon and working and daemon.pid == working.pid:
            raise SystemFault(f"the daemon (pid {daemon.pid}) does not respond", hint="retry, or restart the daemon")
        if found.state is RunState.RUNNING and working and working.pid == found.pid:
            # The command that works on the run cancels it on SIGTERM.
            with suppress(ProcessLookupError):
                os.kill(found.pid, signal.SIGTERM)
        elif found.state is not RunState.CANCELLED:
            raise ConfigError(f"run {run} has finished: {found.state}")
        click.echo(f"cancelling run {run}" if found.state is RunState.RUNNING else f"run {run} is cancelled")
