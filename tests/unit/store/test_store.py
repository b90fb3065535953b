"""The database: every method a transaction, what serves never in doubt, errors in words."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from pipeline.base.errors import StoreFault
from pipeline.events import Event
from pipeline.store.records import DeploymentState, ReleaseState, RunState, StageState
from pipeline.store.store import Store
from tests.support.started_runs import begin_run


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(tmp_path / "penstock.db") as store:
        yield store


def release(store: Store, pipeline: str = "shop") -> int:
    run = begin_run(store, pipeline)
    return store.create_release(
        pipeline, run.number, sha="a" * 40, subject="s", image_id="sha256:1", image_tag="shop:1", spec="{}"
    ).number


def deploy(store: Store, former: int | None, number: int | None, state: DeploymentState) -> None:
    store.finish_deployment(store.begin_deployment("shop", 1, former, number), state)


def test_runs_are_numbered_for_each_pipeline(store: Store) -> None:
    """Run 1 of one is not run 1 of the other."""
    assert [begin_run(store, name).number for name in ("shop", "shop", "blog", "shop")] == [1, 2, 1, 3]


def test_a_run_tells_how_it_ended(store: Store) -> None:
    """With its reason, and the stage that was running ends with it."""
    run = begin_run(store, "shop", requested="main")
    store.queue.enter("shop", run.number, "source")
    store.finish_stage("shop", run.number, "source", StageState.SUCCEEDED, "abc1234 on main")
    store.queue.enter("shop", run.number, "build")
    store.finish_run("shop", run.number, RunState.INTERRUPTED, "killed")
    ended = store.run("shop", run.number)
    assert ended is not None
    assert (ended.state, ended.reason, ended.pid) == (RunState.INTERRUPTED, "killed", os.getpid())
    assert [(s.name, s.state) for s in store.stages("shop", run.number)] == [
        ("source", StageState.SUCCEEDED),
        ("build", StageState.INTERRUPTED),
    ]
    assert store.unfinished_runs("shop") == []


def test_a_deployment_that_succeeds_changes_which_release_serves(store: Store) -> None:
    """The old one retires in the same transaction."""
    first, second = release(store), release(store)
    deploy(store, None, first, DeploymentState.SUCCEEDED)
    deploy(store, first, second, DeploymentState.SUCCEEDED)
    assert [(r.number, r.state) for r in store.releases("shop")] == [
        (second, ReleaseState.ACTIVE),
        (first, ReleaseState.RETIRED),
    ]


@pytest.mark.parametrize("state", [DeploymentState.ROLLED_BACK, DeploymentState.FAILED, DeploymentState.INTERRUPTED])
def test_a_deployment_that_does_not_leaves_the_old_release(state: DeploymentState, store: Store) -> None:
    """And the new one has failed, for good."""
    first, second = release(store), release(store)
    deploy(store, None, first, DeploymentState.SUCCEEDED)
    deploy(store, first, second, state)
    active = store.active_release("shop")
    assert active is not None
    assert active.number == first
    assert store.releases("shop")[0].state is ReleaseState.FAILED


def test_taking_everything_down_leaves_no_active_release(store: Store) -> None:
    """A deployment to nothing."""
    first = release(store)
    deploy(store, None, first, DeploymentState.SUCCEEDED)
    deploy(store, first, None, DeploymentState.SUCCEEDED)
    assert store.active_release("shop") is None


def test_a_second_open_deployment_is_refused(store: Store) -> None:
    """By the database itself, whatever we do wrong."""
    first = release(store)
    store.begin_deployment("shop", 1, None, first)
    with pytest.raises(StoreFault, match="UNIQUE"):
        store.begin_deployment("shop", 1, None, first)
    assert store.open_deployment("shop") is not None


def test_events_come_back_in_order(store: Store) -> None:
    """Of one run, or of the pipeline."""
    for number in range(5):
        store.record_event(Event("x", str(number), "shop", number % 2, {"n": number}))
    assert [e.message for e in store.events("shop")] == ["0", "1", "2", "3", "4"]
    assert [e.fields["n"] for e in store.events("shop", run=1)] == [1, 3]
    assert [e.message for e in store.events("shop", limit=2)] == ["3", "4"]


def test_history_is_pruned_but_for_the_last_success(store: Store) -> None:
    """The next run is compared with that one."""
    for number in range(1, 31):
        run = begin_run(store, "shop")
        store.record_event(Event("x", "y", "shop", run.number))
        store.finish_run("shop", run.number, RunState.SUCCEEDED if number == 3 else RunState.FAILED)
    gone = store.prune_history("shop", keep=10)
    assert gone == [n for n in range(1, 21) if n != 3]
    assert [r.number for r in store.runs("shop", 100)] == [*range(30, 20, -1), 3]
    assert {e.run for e in store.events("shop")} == {*range(21, 31), 3}


def test_two_homes_at_once_open_a_new_database(tmp_path: Path) -> None:
    """Commands may start together on a new machine."""
    code = "import sys; from pathlib import Path; from pipeline.store.store import Store\n"
    code += "from pipeline.store.queue import Request; from pipeline.store.records import Trigger\n"
    code += (
        "with Store(Path(sys.argv[1])) as s: print(s.queue.begin('shop', Request(Trigger.COMMAND), 'queued').number)"
    )
    processes = [
        subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "db")], stdout=subprocess.PIPE) for _ in range(6)
    ]
    numbers = sorted(int(process.communicate()[0]) for process in processes)
    assert numbers == [1, 2, 3, 4, 5, 6]


WRITER = """
import sys
from pathlib import Path
from pipeline.events import Event
from pipeline.store.queue import Request
from pipeline.store.records import Trigger
from pipeline.store.store import Store
with Store(Path(sys.argv[1])) as store:
    while True:
        run = store.queue.begin("shop", Request(Trigger.COMMAND), "superseded")
        store.record_event(Event("x", "y" * 2000, "shop", run.number))
        print(run.number, flush=True)
"""


def test_what_was_written_survives_sigkill(tmp_path: Path) -> None:
    """Every run that the writer told of is there, and the file is whole."""
    path = tmp_path / "db"
    last = 0
    for _ in range(5):
        with subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True) as writer:
            assert writer.stdout is not None
            for line in writer.stdout:
                last = int(line)
                if last % 20 == 0:
                    os.kill(writer.pid, signal.SIGKILL)
                    break
            last = max([last, *(int(line) for line in writer.stdout if line.endswith("\n"))])
        with Store(path) as store:
            assert store.runs("shop", 1)[0].number >= last
    connection = sqlite3.connect(path)
    assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    connection.close()


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"this is no database, whatever its name may say" * 100, "it is damaged or no database")],
)
def test_a_file_that_is_no_database(content: bytes, message: str, tmp_path: Path) -> None:
    """It is left as it is, and the user is told."""
    path = tmp_path / "db"
    path.write_bytes(content)
    with pytest.raises(StoreFault) as caught:
        Store(path)
    assert caught.value.message == f"database {path}: {message}"
    assert path.read_bytes() == content


def test_a_database_of_a_newer_version(tmp_path: Path) -> None:
    """It is not touched."""
    path = tmp_path / "db"
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version=99")
    connection.close()
    with pytest.raises(StoreFault, match=r"was written by a newer Penstock \(database version 99, this one knows 3\)"):
        Store(path)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 400 KiB."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount a small disk")
    mounted = tmp_path / "disk"
    mounted.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=400k", "none", str(mounted)], check=False)
    if done.returncode:
        pytest.skip("this machine does not let us mount anything")
    yield mounted
    subprocess.run(["umount", str(mounted)], check=True)


def fill(store: Store) -> None:
    for _ in range(10_000):
        store.record_event(Event("x", "y" * 4000, "shop"))


def test_a_full_disk_loses_nothing_that_was_written(small_disk: Path) -> None:
    """The error says what to do, and after making room everything goes on."""
    path = small_disk / "db"
    with Store(path) as store:
        with pytest.raises(StoreFault) as caught:
            fill(store)
        written = len(store.events("shop", limit=10_000))
        assert written > 10
        assert caught.value.message == f"database {path}: the disk is full"
        assert caught.value.hint == "make room, then run the command again: nothing was half written"
        subprocess.run(["mount", "-o", "remount,size=4m", str(small_disk)], check=True)
        store.record_event(Event("x", "goes on", "shop"))
        assert len(store.events("shop", limit=10_000)) == written + 1


def test_events_of_no_run_go_with_the_oldest_run(store: Store) -> None:
    """What a keeper says every hour must not be kept for ever."""
    store.record_event(Event("reconcile.drift", "long ago", "shop", at=datetime(2020, 1, 1, tzinfo=UTC)))
    for _ in range(3):
        store.finish_run("shop", begin_run(store, "shop").number, RunState.SUCCEEDED)
    store.record_event(Event("reconcile.drift", "just now", "shop"))
    store.prune_history("shop", keep=2)
    assert [event.message for event in store.events("shop")] == ["just now"]


def test_an_event_of_no_run_waits_for_room(small_disk: Path) -> None:
    """Whoever tells of it goes on; it is written as soon as it can be, in its turn."""
    with Store(small_disk / "db") as store:
        with pytest.raises(StoreFault):
            fill(store)
        written = len(store.events("shop", limit=10_000))
        for message in ("first", "second"):
            store.note_event(Event("x", message * 1000, "shop"))
        assert len(store.events("shop", limit=10_000)) == written
        subprocess.run(["mount", "-o", "remount,size=4m", str(small_disk)], check=True)
        store.write_noted()
        assert [event.message[:6] for event in store.events("shop", limit=2)] == ["firstf", "second"]
