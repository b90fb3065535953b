"""A home that version 0.1.0 left: its database, its registry and its files are read, and say what they said."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from pipeline.cli.program import cli
from pipeline.store.store import Store
from pipeline.triggers.spool import Spool
from tests.golden.golden_file import Golden
from tests.golden.rendering import run_rendering

PIPELINES = ("blog", "shop")
_ALL = 1000


@pytest.mark.parametrize("pipeline", PIPELINES)
def test_the_store_reads_every_row(pipeline: str, recorded_home: Path, golden: Golden) -> None:
    """Runs, stages, releases, the open deployment and what belongs to a pipeline become the golden records."""
    with Store(recorded_home / "penstock.db") as store:
        runs = store.runs.latest(pipeline, _ALL)
        found = {
            "file": store.pipelines.file(pipeline),
            "runs": [asdict(run) for run in runs],
            "unfinished": [run.number for run in store.queue.unfinished(pipeline)],
            "worked on": [run.number for run in store.runs.running(pipeline)],
            "stages": [asdict(stage) for run in runs for stage in store.runs.stages(pipeline, run.number)],
            "releases": [asdict(release) for release in store.releases.all(pipeline)],
            "active release": _number(store.releases.active(pipeline)),
            "open deployment": _record(store.deployments.open(pipeline)),
            "held images": sorted(store.images.pinned(pipeline)),
            "heads": store.refs.heads(pipeline),
            "patterns": store.refs.patterns(pipeline),
            "closed": store.transitions.disabled(pipeline),
        }
    golden(f"recorded-home/{pipeline}.json", _as_json(found))


def test_the_store_reads_every_event(recorded_home: Path, golden: Golden) -> None:
    """Each event of all pipelines has its number, and the golden kind, message and fields."""
    with Store(recorded_home / "penstock.db") as store:
        found = store.events.after(None, 0, 100_000)
    golden("recorded-home/events.jsonl", "".join(f"{json.dumps([n, asdict(e)], default=str)}\n" for n, e in found))


def test_every_row_is_kept(recorded_home: Path) -> None:
    """Opening the database leaves each row of each table that was there before as it was."""
    path = recorded_home / "penstock.db"
    before = _rows(path)
    assert all(before.values()), "each table of the recorded home holds something"
    Store(path).close()
    after = _rows(path)
    assert {table: after[table] for table in before} == before


def test_images_and_deliveries_are_known(recorded_home: Path) -> None:
    """A remembered image is found by its key, and a webhook that was taken is not taken again."""
    path = recorded_home / "penstock.db"
    rows = _rows(path)
    with closing(sqlite3.connect(path)) as database, database:
        # They are forgotten after 30 days, which the recorded ones will be older than.
        database.execute("UPDATE deliveries SET at=?", (datetime.now(UTC).isoformat(),))
    with Store(path) as store:
        for image in rows["images"]:
            assert store.images.cached(image["pipeline"], image["key"]) == image["image_id"]
        for delivery in rows["deliveries"]:
            assert not store.deliveries.take(delivery["pipeline"], delivery["digest"])


@pytest.mark.parametrize("pipeline", PIPELINES)
@pytest.mark.parametrize(
    "command", [("history", "-n", str(_ALL)), ("releases",), ("events", "-n", "100000")], ids=lambda words: words[0]
)
def test_commands_print_the_same(command: tuple[str, ...], pipeline: str, recorded_home: Path, golden: Golden) -> None:
    """`pipeline history`, `releases` and `events` print the golden JSON."""
    golden(f"recorded-home/{pipeline}-{command[0]}.jsonl", _printed(*command, pipeline=pipeline, home=recorded_home))


@pytest.mark.parametrize("pipeline", PIPELINES)
def test_logs_of_runs_are_the_same(pipeline: str, recorded_home: Path, golden: Golden) -> None:
    """`pipeline logs` prints the golden lines of every run."""
    numbers = sorted(int(path.stem) for path in (recorded_home / "logs" / pipeline).glob("*.jsonl"))
    assert numbers
    texts = [_printed("logs", str(number), pipeline=pipeline, home=recorded_home) for number in numbers]
    golden(f"recorded-home/{pipeline}-logs.jsonl", "".join(texts))


def test_the_registry_is_read(recorded_home: Path, golden: Golden) -> None:
    """The registry with two owners and its targets renders to the golden files: an upgrade reloads nothing."""
    (files,) = run_rendering(str(recorded_home / "balancer" / "registry.json")).values()
    assert "fault" not in files, files["fault"]
    kept = {name: text for name, text in files.items() if not name.startswith("answer.")}
    golden("recorded-home/balancer.txt", "".join(f"\n==> {name} <==\n{text}" for name, text in kept.items()))


def test_the_spool_is_read(recorded_home: Path) -> None:
    """A word that a git hook left names its repository."""
    assert {str(repository) for repository in Spool(recorded_home / "spool").files().values()} == {
        "/srv/penstock/shop/.git"
    }


def _printed(*command: str, pipeline: str, home: Path) -> str:
    done = CliRunner().invoke(cli, [*command, "--file", str(home / pipeline / "pipeline.yaml"), "--json"])
    assert done.exit_code == 0, done.output
    return done.stdout


def _rows(path: Path) -> dict[str, list[dict[str, Any]]]:
    """Every row of every table."""
    with closing(sqlite3.connect(path)) as database:
        database.row_factory = sqlite3.Row
        tables = [row["name"] for row in database.execute("SELECT name FROM sqlite_master WHERE type='table'")]
        return {table: [dict(row) for row in database.execute(f"SELECT * FROM {table}")] for table in tables}


def _number(release: Any) -> int | None:
    return release.number if release else None


def _record(deployment: Any) -> dict[str, Any] | None:
    return asdict(deployment) if deployment else None


def _as_json(data: Any) -> str:
    return json.dumps(data, indent=1, ensure_ascii=False, default=str) + "\n"
