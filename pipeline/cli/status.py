"""`pipeline status`: the active release, current runs and the queue."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import click

from pipeline.base.errors import ConfigError, PenstockError
from pipeline.base.home import Home
from pipeline.cli.output import date, table
from pipeline.cli.session import json_option, pipeline_options, session
from pipeline.http.status_text import StatusText

# In seconds. A daemon that hangs does not keep the command from reading by itself.
_TIMEOUT = 2.0


@click.command("status")
@pipeline_options
@json_option
def command(file: Path, parameters: tuple[str, ...], as_json: bool) -> None:
    """Show the active release, current runs and the queue. Changes nothing.

    After a crash, `recover`, `run`, `rollback` and `down` repair the pipeline's state. `pipeline serve` does so for the
    pipelines that it manages.
    """
    # Parameters may change the pipeline's name, and the daemon has its own.
    report = None if parameters else _ask_daemon(file)
    text, data = report or _read(file, parameters)
    if text.invalid:
        click.echo(f"{file} is invalid: see `pipeline validate`. This is the current state:\n", err=True)
    if as_json:
        click.echo(json.dumps(data))
    else:
        _show(text)


def _ask_daemon(file: Path) -> tuple[StatusText, dict[str, Any]] | None:
    """Return the report of the daemon that manages this file. None without one, and if it does not respond."""
    home = Home.locate()
    if not home.daemon_socket.exists():
        return None
    # Imported only if there may be a daemon, since it is slow.
    from pipeline.http.client import Daemon

    try:
        daemon = Daemon.find(home, _TIMEOUT)
        client = daemon.client_of(file) if daemon else None
        if client is None:
            return None
        found = client.ask("GET", f"/v1/pipelines/{client.pipeline}/status")
        return StatusText.from_json(found["text"]), found["data"]
    except PenstockError:
        return None


def _read(file: Path, parameters: tuple[str, ...]) -> tuple[StatusText, dict[str, Any]]:
    """Return the report of this process."""
    from pipeline.http.status_report import StatusReport

    with session(file, parameters) as opened:
        loaded = opened.loaded
        declared = None if isinstance(loaded, ConfigError) else loaded.pipeline.accessories
        report = StatusReport(opened.home, opened.store, opened.name, invalid=declared is None, declared=declared)
        return report.text(), report.data()


def _show(text: StatusText) -> None:
    for line in text.lines:
        click.echo("".join(date(part) if isinstance(part, datetime) else part for part in line))
    if text.targets:
        click.echo()
        table(text.targets, "target", "state", "in flight", "address", "reason")
