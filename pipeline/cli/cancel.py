"""`pipeline cancel`: give up a run."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from pathlib import Path

import click

from pipeline.base.errors import ConfigError, SystemFault
from pipeline.base.lock import holder
from pipeline.cli.session import pipeline_options, session
from pipeline.store.records import RunState


@click.command("cancel")
@click.argument("run", type=click.IntRange(min=1))
@pipeline_options
def command(run: int, file: Path, parameters: tuple[str, ...]) -> None:
    """Give up RUN: at once while it waits; otherwise its build or tests are stopped, or the former release put back."""
    with session(file, parameters, acting=True) as opened:
        if opened.daemon is not None:
            opened.daemon.ask("POST", f"/v1/pipelines/{opened.name}/runs/{run}/cancel")
            click.echo(f"run {run} is being given up")
            return
        found = opened.store.runs.get(opened.name, run)
        if found is None:
            raise ConfigError(f"there is no run {run}", hint="`pipeline history` lists them")
        if found.state is RunState.QUEUED:
            found = opened.store.queue.cancel(opened.name, run, "cancelled")
        working = holder(opened.home.lock(opened.name))
        daemon = holder(opened.home.daemon_lock)
        if daemon and working and daemon.pid == working.pid:
            raise SystemFault(f"the daemon (process {daemon.pid}) does not answer", hint="try it again, or restart it")
        if found.state is RunState.RUNNING and working and working.pid == found.pid:
            # The command that works on it ends it in order.
            with suppress(ProcessLookupError):
                os.kill(found.pid, signal.SIGTERM)
        elif found.state is not RunState.CANCELLED:
            raise ConfigError(f"run {run} is over: {found.state}")
        click.echo(f"run {run} is being given up" if found.state is RunState.RUNNING else f"run {run} is cancelled")
