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
from pipeline.store.store import Store


@click.command("list")
@json_option
def command(as_json: bool) -> None:
    """List the pipelines of the home: the active release, its replicas, the latest run and the file.

    Other commands take a name from this list as `-p NAME`, in any directory.
    """
    with Store(Home.locate().database) as store:
        found = [_described(store, name, file) for name, file in store.pipelines.files().items()]
    if as_json:
        click.echo(json.dumps(found))
        return
    rows = [tuple("-" if value is None else str(value) for value in each.values()) for each in found]
    table(rows, "pipeline", "release", "replicas", "run", "state", "file")


def _described(store: Store, name: str, file: Path) -> dict[str, Any]:
    active, latest = store.releases.active(name), next(iter(store.runs.latest(name, 1)), None)
    return {
        "pipeline": name,
        "release": active.number if active else None,
        "replicas": _replicas(store, active) if active else None,
        "run": latest.number if latest else None,
        "state": str(latest.state) if latest else None,
        "file": str(file),
    }


def _replicas(store: Store, release: Release) -> int | None:
    """Return the wanted replicas of all services, None if they are not known."""
    counts = [store.services.wanted(release.pipeline, service) for service in service_names(release.spec)]
    known = [count for count in counts if count is not None]
    return sum(known) if known else None
