"""`pipeline list`: the pipelines of the home."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from pipeline.base.home import Home
from pipeline.cli.output import table
from pipeline.cli.session import json_option
from pipeline.config.release import service_names
from pipeline.store.records import Release
from pipeline.store.services import job_names
from pipeline.store.store import Store


@click.command("list")
@json_option
def command(as_json: bool) -> None:
    """List the pipelines of the home: the active release, its replicas, the latest run, the jobs and the file.

    Other commands take a name from this list as `-p NAME`, in any directory.
    """
    with Store(Home.locate().database) as store:
        found = [_described(store, name, file) for name, file in store.pipelines.files().items()]
    if as_json:
        click.echo(json.dumps(found))
        return
    rows = [tuple(map(_cell, each.values())) for each in found]
    table(rows, "pipeline", "release", "replicas", "run", "state", "jobs", "file")


def _described(store: Store, name: str, file: Path) -> dict[str, Any]:
    active, latest = store.releases.active(name), next(iter(store.runs.latest(name, 1)), None)
    return {
        "pipeline": name,
        "release": active.number if active else None,
        "replicas": _replicas(store, active) if active else None,
        "run": latest.number if latest else None,
        "state": str(latest.state) if latest else None,
        "jobs": _jobs(store, active) if active else {},
        "file": str(file),
    }


def _cell(value: object) -> str:
    if isinstance(value, dict):
        value = ", ".join(f"{name} {state or 'no run yet'}".replace("_", " ") for name, state in value.items())
    return "-" if value in (None, "") else str(value)


def _jobs(store: Store, release: Release) -> dict[str, str | None]:
    """Return the state of the last run of each job, None before the first one."""
    names = job_names(release.spec)
    runs = store.job_runs.last_of_each(release.pipeline) if names else {}
    return {name: str(runs[name].state) if name in runs else None for name in names}


def _replicas(store: Store, release: Release) -> int | None:
    """Return the wanted replicas of all services, None if they are not known."""
    counts = [store.services.wanted(release.pipeline, service) for service in service_names(release.spec)]
    known = [count for count in counts if count is not None]
    return sum(known) if known else None
