"""Accessories over the control API: shown, and acted on by a user whom the events name."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from pipeline.accessories.lock import data_lock
from pipeline.base.errors import ConfigError, EngineFault
from pipeline.engine import hosts
from pipeline.testing.fakes.console import FakeConsole
from pipeline.testing.fakes.engine import FakeEngine
from tests.support.accessory_world import GOOD
from tests.support.accessory_world import PIPELINE as WITH_CHECK
from tests.support.api_daemon import ApiDaemon, api_daemon
from tests.support.waiting import DEADLINE, until

PIPELINE = WITH_CHECK.replace("{command: [check], interval: 1s}", "{uptime: 0s}").replace("IMAGE", "db:1")


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> FakeEngine:
    found = FakeEngine(program=lambda _: GOOD)
    found.images.add("db:1")
    console = FakeConsole(found)
    monkeypatch.setattr(hosts, "local_engine", lambda *_: found)
    monkeypatch.setattr(hosts, "local_console", lambda *_: console)
    return found


@pytest.fixture
def daemon(tmp_path: Path, engine: FakeEngine) -> Iterator[ApiDaemon]:
    with api_daemon(tmp_path, PIPELINE) as found:
        yield found


def state(daemon: ApiDaemon) -> str:
    (found,) = daemon.get("accessories")
    return str(found["state"])


def act(daemon: ApiDaemon, action: str, by: str) -> None:
    """Begin an action and wait until it has ended, so that the next one is not refused."""
    assert daemon.post(f"accessories/db/{action}", by=by) == {"effect": f"the {action} of db has begun"}
    until(lambda: not _works(action), f"the {action} has ended")


def _works(action: str) -> bool:
    return any(thread.name == f"{action} of db" for thread in threading.enumerate())


def test_an_accessory_is_started_backed_up_restarted_and_stopped(daemon: ApiDaemon) -> None:
    """The event of each effect names the user."""
    assert state(daemon) == "not started"
    act(daemon, "start", "ann")
    assert state(daemon) == "running"
    act(daemon, "backup", "bob")
    (backup,) = daemon.get("accessories/db/backups")
    assert (backup["accessory"], backup["image"]) == ("db", "db:1")
    act(daemon, "restart", "carol")
    act(daemon, "stop", "dave")
    assert state(daemon) == "stopped"
    until(lambda: len(daemon.events("accessory.stopping")) == 2, "the events are stored")
    found = [(kind, fields.get("by")) for kind, fields in [*daemon.events("accessory."), *daemon.events("backup.")]]
    for expected in (
        ("accessory.starting", "ann"),
        ("backup.started", "bob"),
        ("accessory.stopping", "carol"),
        ("accessory.stopping", "dave"),
    ):
        assert expected in found


def test_an_accessory_is_upgraded_and_restored(daemon: ApiDaemon, engine: FakeEngine) -> None:
    """An upgrade replaces the container, a restore the data by those of one backup. The events name the user."""
    engine.images.add("db:2")
    act(daemon, "start", "ann")
    act(daemon, "backup", "ann")
    (backup,) = daemon.get("accessories/db/backups")
    before = engine.containers.all("shop")[0].id
    daemon.file.write_text(daemon.file.read_text().replace("db:1", "db:2"))
    daemon.control.supervisor("shop").served_file.reload()
    act(daemon, "upgrade", "bob")
    (found,) = daemon.get("accessories")
    assert (found["image"], found["state"]) == ("db:2", "running")
    assert before not in [each.id for each in engine.containers.all("shop")]
    effect = daemon.post("accessories/db/restore", by="carol", backup=backup["name"])
    assert effect == {"effect": "the restore of db has begun"}
    until(lambda: daemon.events("restore.finished"), "the data is restored")
    assert [(kind, fields.get("by")) for kind, fields in daemon.events("restore.")] == [
        ("restore.started", "carol"),
        ("restore.finished", None),
    ]
    until(lambda: ("accessory.stopping", "bob") in [(k, f.get("by")) for k, f in daemon.events("accessory.")], "bob")
    assert daemon.events("accessory.failed") == []


@pytest.mark.parametrize(
    ("action", "body", "message"),
    [
        ("restore", {}, "backup: is required for a restore"),
        ("restore", {"backup": "1999"}, "there is no backup in "),
        ("backup", {"backup": "1999"}, "backup: is only for a restore, not for backup"),
        ("stop", {"backup": "1999"}, "backup: is only for a restore, not for stop"),
    ],
)
def test_a_restore_needs_a_backup(daemon: ApiDaemon, action: str, body: dict[str, str], message: str) -> None:
    """What would be restored does not depend on the time of the request. Nothing is begun."""
    with pytest.raises(ConfigError) as error:
        daemon.post(f"accessories/db/{action}", **body)
    assert error.value.message.startswith(message)
    assert not _works(action)


@pytest.mark.parametrize(("held", "reason"), [(False, "accessory db does not run"), (True, "backup of db (pid ")])
def test_a_restore_that_fails_has_one_event(daemon: ApiDaemon, held: bool, reason: str) -> None:
    """Also one that another process does not let begin."""
    act(daemon, "start", "ann")
    act(daemon, "backup", "ann")
    act(daemon, "stop", "ann")
    (backup,) = daemon.get("accessories/db/backups")
    home = daemon.control.home_of("shop")
    with data_lock(home, "shop", "db", "backup of db") if held else nullcontext():
        daemon.post("accessories/db/restore", by="bob", backup=backup["name"])
        until(lambda: not _works("restore"), "the restore has ended")
    until(lambda: daemon.events("restore.failed"), "the failure is reported")
    found = [fields["reason"] for _, fields in [*daemon.events("restore.failed"), *daemon.events("accessory.failed")]]
    assert len(found) == 1, found
    assert reason in found[0]


@pytest.mark.parametrize("action", ["start", "backup"])
def test_a_failure_is_an_event(daemon: ApiDaemon, monkeypatch: pytest.MonkeyPatch, action: str) -> None:
    """The request has been answered before. A later action works again."""

    def fail(*_: Any) -> None:
        raise EngineFault("Docker: gone")

    with monkeypatch.context() as patched:
        patched.setattr(hosts, "local_engine", fail)
        act(daemon, action, "ann")
    until(lambda: daemon.events("accessory.failed"), "the failure is reported")
    assert daemon.events("accessory.failed") == [("accessory.failed", {"accessory": "db", "reason": "Docker: gone"})]
    act(daemon, "start", "ann")
    assert state(daemon) == "running"


def test_one_action_at_a_time(daemon: ApiDaemon, engine: FakeEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second one is refused, and nothing waits."""
    entered, released = threading.Event(), threading.Event()

    def slow(*_: Any) -> FakeEngine:
        entered.set()
        assert released.wait(DEADLINE)
        return engine

    with monkeypatch.context() as patched:
        patched.setattr(hosts, "local_engine", slow)
        daemon.post("accessories/db/start", by="ann")
        assert entered.wait(DEADLINE)
        with pytest.raises(ConfigError, match="db: the start is in progress"):
            daemon.post("accessories/db/stop", by="bob")
        released.set()
    until(lambda: state(daemon) == "running", "it runs")


@pytest.mark.parametrize(
    ("method", "path", "message"),
    [
        ("POST", "accessories/bd/start", "there is no accessory bd"),
        ("POST", "accessories/bd/stop", "there is no accessory bd"),
        ("POST", "accessories/db/explode", "unknown action explode"),
        ("GET", "accessories/bd/backups", "there is no accessory bd"),
        ("GET", "accessories/../backups", "there is no accessory .."),
    ],
)
def test_bad_requests_are_explained(daemon: ApiDaemon, method: str, path: str, message: str) -> None:
    """The message names what is wrong. Nothing is begun."""
    with pytest.raises(ConfigError) as error:
        daemon.client.ask(method, f"/v1/pipelines/shop/{path}")
    assert error.value.message == message


def test_an_accessory_without_a_backup(tmp_path: Path, engine: FakeEngine) -> None:
    """The error says which key is missing."""
    text = PIPELINE[: PIPELINE.index("    backup:")]
    with api_daemon(tmp_path, text) as daemon, pytest.raises(ConfigError) as error:
        daemon.post("accessories/db/backup")
    assert (error.value.message, error.value.hint) == (
        "accessory db has no backup",
        "set accessories.db.backup in pipeline.yaml",
    )
