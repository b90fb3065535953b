"""Migrations: from each earlier version, beside a process of the previous one, and interrupted."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from datetime import datetime
from pathlib import Path

import pytest

from pipeline.base.errors import StoreFault
from pipeline.store.records import (
    ApprovalDecision,
    DeploymentState,
    ReleaseState,
    RunKind,
    RunOptions,
    RunState,
    StageState,
    Trigger,
)
from pipeline.store.store import Store
from tests.unit.store.previous_versions import BEGAN, ENDED, Version3, content, create_database

VERSION = 16


@pytest.mark.parametrize("version", [1, 2, 3])
def test_rows_of_every_earlier_version_are_read(version: int, tmp_path: Path) -> None:
    """Runs, stages, releases, the open deployment, events and images of version 1 are read after a migration."""
    create_database(tmp_path / "db", version)
    with Store(tmp_path / "db") as store:
        assert store.pipelines.file("shop") == Path("/srv/shop/pipeline.yaml")
        first, second = (store.queue.run("shop", number) for number in (1, 2))
        assert (first.state, first.subject, first.trigger) == (RunState.SUCCEEDED, "Add carts", Trigger.COMMAND)
        assert (first.options, first.attempts, first.queued_at) == (RunOptions(), 1, None)
        assert (first.started_at, first.finished_at) == (
            datetime.fromisoformat(BEGAN),
            datetime.fromisoformat(ENDED),
        )
        assert (second.kind, second.finished_at) == (RunKind.ROLLBACK, None)
        assert [(s.name, s.state) for s in store.runs.stages("shop", 2)] == [("deploy", StageState.RUNNING)]
        assert [r.state for r in store.releases.all("shop")] == [ReleaseState.PENDING, ReleaseState.ACTIVE]
        deployment = store.deployments.open("shop")
        assert deployment is not None
        assert (deployment.id, deployment.from_release, deployment.to_release) == (2, 1, 2)
        assert [(e.kind, e.fields) for e in store.events.latest("shop")] == [("target.healthy", {"target": "web-1"})]
        assert store.images.cached("shop", "built:1") == "sha256:1"


@pytest.mark.parametrize("version", [2, 3])
def test_the_queue_of_an_earlier_version_is_read(version: int, tmp_path: Path) -> None:
    """Options, approvals, refs, transitions and patterns of versions 2 and 3 are read after a migration."""
    create_database(tmp_path / "db", version)
    with Store(tmp_path / "db") as store:
        run = store.queue.run("shop", 3)
        assert (run.trigger, run.retry_of, run.attempts, run.image_id) == (Trigger.HOOK, 1, 2, "sha256:3")
        assert run.options == RunOptions(configuration="commit", parameters={})
        assert run.approval == ApprovalDecision(True, "ann", "", datetime.fromisoformat(ENDED))
        assert store.refs.heads("shop") == {"refs/heads/main": "a" * 40}
        assert store.refs.patterns("shop") == (["refs/heads/*"] if version == 3 else [])
        assert store.transitions.disabled("shop") == {"deploy": "audit"}


@pytest.mark.parametrize("version", [1, 2, 3])
def test_the_new_tables_continue_the_old_rows(version: int, tmp_path: Path) -> None:
    """The count of the active release and earlier deliveries are known after a migration."""
    create_database(tmp_path / "db", version)
    with Store(tmp_path / "db") as store:
        assert store.services.wanted("shop", "web") == 3
        assert store.deliveries.take("shop", "d1") == (version == 1)
        assert store.deliveries.take("blog", "d1")


def test_a_migration_of_version_3_changes_no_existing_table(tmp_path: Path) -> None:
    """A migration of version 3 changes no column, index or row of an existing table."""
    path = tmp_path / "db"
    create_database(path, 3)
    tables = {str(name) for name, *_ in content(path)["schema"]}
    before = content(path, tables)
    assert len(tables) == 11
    Store(path).close()
    assert content(path, tables) == before
    new = {name for name, *_ in content(path)["schema"]} - tables
    stacks = {
        "stacks",
        *(f"stack_{noun}" for noun in ("resources", "events", "exports", "imports", "change_sets", "drifts")),
    }
    jobs = {"job_runs", "job_schedules"}
    accessories = {"accessories", "deployed_accessories"}
    deployments = {f"deployment_{noun}" for noun in ("progress", "strategies", "waits", "evidence", "aborts")}
    hosts = {"clusters", "leaving_hosts", "drained_hosts"}
    others = {*hosts, "services", "scales", "scalable_targets", "webhook_deliveries", "run_times", "run_actors"}
    web = {"web_logins", "web_sessions"}
    assert new == {*others, *accessories, *deployments, *jobs, *stacks, *web}


def test_a_process_of_version_3_continues_beside_the_current_version(tmp_path: Path) -> None:
    """It has the file open during the migration, and its statements work as before. Both read what the other writes."""
    path = tmp_path / "db"
    create_database(path, 3)
    with Version3(path) as previous, Store(path) as store:
        deployment = store.deployments.open("shop")
        assert deployment is not None
        store.deployments.finish(deployment, DeploymentState.SUCCEEDED, wanted={"web": 5})
        assert store.transitions.enable("shop", "deploy")

        previous.queue_run("shop", 4, "b" * 40)
        previous.enter("shop", 4, "deploy")
        previous.deploy("shop", 4, before=2, after=3)
        previous.finish("shop", 4)
        previous.write_the_rest("shop")
        previous.delete_run("shop", 1)

        run = store.queue.run("shop", 4)
        assert (run.state, run.options) == (RunState.SUCCEEDED, RunOptions(configuration="commit", force=True))
        active = store.releases.active("shop")
        assert active is not None
        assert active.number == 3
        assert store.deployments.open("shop") is None
        assert store.refs.heads("shop") == {"refs/heads/main": "b" * 40}
        assert store.refs.patterns("shop") == ["refs/tags/*"]
        assert store.transitions.disabled("shop") == {"build": "freeze"}
        assert store.pipelines.file("shop") == Path("/srv/moved/pipeline.yaml")
        assert store.images.cached("shop", "built:2") == "sha256:4"
        assert [e.kind for e in store.events.latest("shop")] == ["target.healthy"]
        assert [run.number for run in store.runs.latest("shop")] == [4, 3, 2]

        store.runs.set_revision("shop", 4, sha="c" * 40, ref="main", author="Ada", subject="Sell less")
        latest, release = previous.read("shop")
        assert (vars(latest)["subject"], vars(release)["number"]) == ("Sell less", 3)


def test_a_process_of_version_3_keeps_its_own_deliveries(tmp_path: Path) -> None:
    """The current version does not write to its table, so neither takes a delivery of the other."""
    create_database(tmp_path / "db", 3)
    with Version3(tmp_path / "db") as previous, Store(tmp_path / "db") as store:
        assert not previous.take_delivery("shop", "d1")
        assert not store.deliveries.take("shop", "d1")
        assert store.deliveries.take("shop", "d2")
        assert previous.take_delivery("shop", "d2")


KILLED = """
import os, sqlite3, sys
from pathlib import Path
connect = sqlite3.connect

def traced(*args, **kwargs):
    connection = connect(*args, **kwargs)
    connection.set_trace_callback(lambda sql: os.kill(os.getpid(), 9) if sys.argv[2] in sql else None)
    return connection

sqlite3.connect = traced
from pipeline.store.store import Store
Store(Path(sys.argv[1]))
"""


@pytest.mark.parametrize(
    ("version", "statement"),
    [
        (3, "CREATE TABLE services"),
        (3, "CREATE TABLE webhook_deliveries"),
        (3, "INSERT INTO webhook_deliveries"),
        (3, "PRAGMA user_version="),
        (3, "COMMIT"),
        (1, "CREATE TABLE watched"),
        (1, "COMMIT"),
    ],
)
def test_a_killed_migration_changes_nothing(version: int, statement: str, tmp_path: Path) -> None:
    """The process is killed before a statement. The next one migrates the file from the start."""
    path = tmp_path / "db"
    create_database(path, version)
    before = content(path)
    done = subprocess.run([sys.executable, "-c", KILLED, str(path), statement], check=False)
    assert done.returncode == -signal.SIGKILL
    assert content(path) == before
    with Store(path) as store:
        assert store.services.wanted("shop", "web") == 3
    assert content(path)["version"] == [(VERSION,)]


@pytest.mark.parametrize("version", [1, 3])
def test_a_failed_migration_changes_nothing(version: int, tmp_path: Path) -> None:
    """Statements before the failed one are rolled back, also those of the migrations before."""
    path = tmp_path / "db"
    create_database(path, version)
    with closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TABLE webhook_deliveries (unexpected TEXT)")
    before = content(path)
    with pytest.raises(StoreFault) as caught:
        Store(path)
    assert caught.value.message == f"database {path}: table webhook_deliveries already exists"
    assert content(path) == before


def test_processes_that_start_together_migrate_once(tmp_path: Path) -> None:
    """Each of them gets a database of the current version."""
    path = tmp_path / "db"
    create_database(path, 1)
    code = "import sys; from pathlib import Path; from pipeline.store.store import Store\n"
    code += "with Store(Path(sys.argv[1])) as store: print(store.services.wanted('shop', 'web'))"
    processes = [
        subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE, text=True) for _ in range(4)
    ]
    assert [process.communicate()[0] for process in processes] == ["3\n"] * 4
    assert content(path)["version"] == [(VERSION,)]


def test_a_newer_database_is_refused_and_not_changed(tmp_path: Path) -> None:
    """The error names both versions."""
    path = tmp_path / "db"
    create_database(path, 3)
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA user_version=99")
    before = content(path)
    with pytest.raises(StoreFault) as caught:
        Store(path)
    text = f"{path} was written by a newer Penstock (database version 99, this one knows {VERSION})"
    assert (caught.value.message, caught.value.hint) == (text, "use that version, or another PENSTOCK_HOME")
    assert content(path) == before


def test_a_migrated_database_has_the_schema_of_a_new_one(tmp_path: Path) -> None:
    """A migrated database has the schema of a new one, from every earlier version."""
    create_database(tmp_path / "old", 1)
    for name in ("old", "new"):
        Store(tmp_path / name).close()
    assert content(tmp_path / "old")["schema"] == content(tmp_path / "new")["schema"]
