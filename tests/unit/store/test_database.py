"""The database file: shared by processes, safe against kills and a full disk, with errors in plain words."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from pipeline.base.errors import StoreFault
from pipeline.events import Event
from pipeline.store.store import Store
from tests.unit.store.filling import fill


def test_processes_that_start_together_share_a_new_database(tmp_path: Path) -> None:
    """Six processes that open a new database at once get the run numbers 1 to 6."""
    code = "import sys; from pathlib import Path; from pipeline.store.store import Store\n"
    code += "from pipeline.store.queue import RunRequest; from pipeline.store.records import Trigger\n"
    code += "with Store(Path(sys.argv[1])) as s: "
    code += "print(s.queue.begin('shop', RunRequest(Trigger.COMMAND), 'queued').number)"
    processes = [
        subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "db")], stdout=subprocess.PIPE) for _ in range(6)
    ]
    numbers = sorted(int(process.communicate()[0]) for process in processes)
    assert numbers == [1, 2, 3, 4, 5, 6]


WRITER = """
import sys
from contextlib import closing
from pathlib import Path
from pipeline.events import Event
from pipeline.store.queue import RunRequest
from pipeline.store.records import Trigger
from pipeline.store.store import Store
with Store(Path(sys.argv[1])) as store:
    while True:
        run = store.queue.begin("shop", RunRequest(Trigger.COMMAND), "superseded")
        store.events.record(Event("x", "y" * 2000, "shop", run.number))
        print(run.number, flush=True)
"""


def test_committed_rows_survive_sigkill(tmp_path: Path) -> None:
    """Every run that the killed writer printed is in the file, and the file is intact."""
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
            assert store.runs.latest("shop", 1)[0].number >= last
    connection = sqlite3.connect(path)
    assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    connection.close()


def test_a_file_that_is_not_a_database_is_left_alone(tmp_path: Path) -> None:
    """The error names the file, whose content stays."""
    path, content = tmp_path / "db", b"this is not a database, despite its name" * 100
    path.write_bytes(content)
    with pytest.raises(StoreFault) as caught:
        Store(path)
    assert caught.value.message == f"database {path}: it is damaged or not a database"
    assert path.read_bytes() == content


def test_a_full_disk_loses_no_committed_row(small_disk: Path) -> None:
    """The error says what to do, and writing continues after space was freed."""
    path = small_disk / "db"
    with Store(path) as store:
        with pytest.raises(StoreFault) as caught:
            fill(store)
        written = len(store.events.latest("shop", limit=10_000))
        assert written > 10
        assert caught.value.message == f"database {path}: the disk is full"
        assert caught.value.hint == "free some space, then run the command again: nothing was half written"
        subprocess.run(["mount", "-o", "remount,size=4m", str(small_disk)], check=True)
        store.events.record(Event("x", "continued", "shop"))
        assert len(store.events.latest("shop", limit=10_000)) == written + 1


def test_every_key_of_rows_has_the_pipeline(store: Store, tmp_path: Path) -> None:
    """Pipelines share the file, so a key without the pipeline would let one of them take the rows of another.

    `deliveries` is the table of version 2, which nothing reads any more. Stacks belong to owners, not to pipelines. The
    ids of deployments are unique in the file. A user of the web interface sees all pipelines.
    """
    with closing(sqlite3.connect(tmp_path / "penstock.db")) as db:
        tables = [name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type='table'")]
        keys = {
            (table, tuple(column[2] for column in db.execute(f"PRAGMA index_info('{index[1]}')")))
            for table in tables
            for index in db.execute(f"PRAGMA index_list('{table}')")
            if index[2]
        }
    shared = {
        (table, columns) for table, columns in keys if "pipeline" not in columns and not table.startswith("stack")
    }
    assert shared == {
        ("pipelines", ("name",)),
        ("deliveries", ("digest",)),
        ("deployment_waits", ("deployment", "service", "name")),
        ("deployment_evidence", ("deployment", "service")),
        ("web_logins", ("digest",)),
        ("web_sessions", ("digest",)),
    }


CLOSER = """
import sys, threading
from pathlib import Path
from pipeline.base.errors import StoreFault
from pipeline.store.store import Store

def read(store, begun):
    try:
        while True:
            store.releases.active("shop")
            begun.set()
    except StoreFault:
        pass

for _ in range(50):
    store, begun = Store(Path(sys.argv[1])), threading.Event()
    reader = threading.Thread(target=read, args=(store, begun))
    reader.start()
    begun.wait()
    store.close()
    reader.join()
"""


def test_a_database_that_is_closed_during_a_query_is_a_fault(tmp_path: Path) -> None:
    """A thread that still reads gets an error, and the process does not crash."""
    done = subprocess.run([sys.executable, "-c", CLOSER, str(tmp_path / "db")], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
