"""Backups: complete or not there, kept in number, and compared before a restore."""

from __future__ import annotations

import stat
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from pipeline.accessories.backups import Backups
from pipeline.base.errors import Cancelled, ConfigError, EngineFault, LockHeld, StageFailed, StoreFault
from pipeline.base.lock import work_lock
from pipeline.testing.fakes.console import FakeProcess
from tests.support.accessory_world import DATA, LOAD, PIPELINE, Killed, World
from tests.support.waiting import DEADLINE, until


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """A world in which `db` runs."""
    found = World(tmp_path)
    found.accessories().start()
    yield found
    found.store.close()


def folder(world: World) -> Path:
    """Return the folder of the backups."""
    return world.home.backups("shop", "db")


def files(world: World) -> list[str]:
    """Return the names of all files in the folder."""
    return sorted(path.name for path in folder(world).iterdir()) if folder(world).exists() else []


def with_command(world: World, command: str) -> None:
    """Let another command make the backup."""
    world.write(text=PIPELINE.replace("[dump]", f"[{command}]"))


def test_a_backup_is_what_its_command_prints(world: World) -> None:
    """Only the owner of the home can read it. It is named after its time."""
    made = world.backups().create("db")
    path = folder(world) / f"{made.name}.backup"
    assert path.read_bytes() == DATA
    assert [stat.S_IMODE(each.stat().st_mode) for each in (path, folder(world))] == [0o600, 0o700]
    assert (made.size, made.accessory, made.image) == (len(DATA), "db", "db:1")
    assert made.name == f"{made.created_at:%Y%m%dT%H%M%SZ}"
    assert world.kinds()[-2:] == ["backup.started", "backup.finished"]


@pytest.mark.parametrize(
    ("command", "message", "tail"),
    [
        ("broken", "the backup of db failed with exit code 3", ("no such table",)),
        ("silent", "the backup of db wrote nothing to its standard output", ("nothing to do",)),
        ("missing", "missing: executable file not found", ()),
    ],
)
def test_a_command_that_fails_leaves_no_backup(world: World, command: str, message: str, tail: tuple[str, ...]) -> None:
    """The error has its last error lines, and an event has the reason."""
    with_command(world, command)
    with pytest.raises(StageFailed) as caught:
        world.backups().create("db")
    assert (caught.value.message, caught.value.tail) == (message, tail)
    assert files(world) == []
    assert (world.events[-1].kind, world.events[-1].fields["reason"]) == ("backup.failed", message)


def test_the_newest_are_kept(world: World) -> None:
    """Two of the same second have different names. The oldest are deleted, and each is reported."""
    names = []
    for second in (0, 0, 5):
        world.clock.advance(timedelta(seconds=second))
        names.append(world.backups().create("db").name)
    assert names[1] == f"{names[0]}-2"
    assert [each.name for each in world.backups().files("db").all()] == names[1:]
    assert len(files(world)) == 4
    assert [event.fields["backup"] for event in world.events if event.kind == "backup.deleted"] == names[:1]


def test_a_killed_backup_leaves_nothing_that_counts(world: World) -> None:
    """The next backup removes the draft."""
    killed = world.backups().create("db")
    # Killed before the last step, in which the draft gets its name.
    (folder(world) / f"{killed.name}.backup").replace(folder(world) / ".draft")
    assert world.backups().files("db").all() == []
    with pytest.raises(ConfigError):
        world.backups().restore("db")
    world.clock.advance(timedelta(seconds=9))
    made = world.backups().create("db")
    assert files(world) == [f"{made.name}.backup", f"{made.name}.json"]


def test_a_restore_gives_the_latest_backup_to_its_command(world: World) -> None:
    """Or the one that is named."""
    first = world.backups().create("db")
    world.clock.advance(timedelta(seconds=9))
    second = world.backups().create("db")
    assert world.backups().restore("db") == second
    assert bytes(world.console.received[LOAD]) == DATA
    assert world.backups().restore("db", first.name) == first
    assert world.kinds()[-2:] == ["restore.started", "restore.finished"]


def test_a_damaged_backup_is_not_restored(world: World) -> None:
    """It is compared with its size and digest before the command gets a byte."""
    made = world.backups().create("db")
    path = folder(world) / f"{made.name}.backup"
    for content in (DATA[:-1], DATA[:-1] + b"!"):
        path.write_bytes(content)
        with pytest.raises(StoreFault) as caught:
            world.backups().restore("db")
        assert caught.value.message == f"{path} is damaged: it differs from what was written"
    assert LOAD not in world.console.received
    assert world.kinds()[-1] == "restore.failed"


def test_a_restore_that_fails_says_so(world: World) -> None:
    """The error has the last lines of the command."""
    world.backups().create("db")
    world.write(text=PIPELINE.replace("[load]", "[broken]"))
    with pytest.raises(StageFailed) as caught:
        world.backups().restore("db")
    assert (caught.value.message, caught.value.tail) == (
        "the restore of db failed with exit code 3",
        ("no such table",),
    )


def test_backups_that_are_not_there(world: World) -> None:
    """The errors name the command or the nearest name."""
    with pytest.raises(ConfigError) as caught:
        world.backups().restore("db")
    assert caught.value.message == f"there is no backup in {folder(world)}"
    made = world.backups().create("db")
    with pytest.raises(ConfigError) as caught:
        world.backups().restore("db", made.name[:-1])
    assert caught.value.message == f"there is no backup {made.name[:-1]}"
    assert caught.value.hint == f"did you mean {made.name}?"


def test_an_accessory_without_the_keys(world: World) -> None:
    """The hints name the keys."""
    world.write(text=PIPELINE.replace("    backup: {command: [dump], keep: 2}\n    restore: {command: [load]}\n", ""))
    with pytest.raises(ConfigError) as caught:
        world.backups().create("db")
    assert (caught.value.message, caught.value.hint) == (
        "accessory db has no backup",
        "set accessories.db.backup in pipeline.yaml",
    )
    with pytest.raises(ConfigError) as caught:
        world.backups().restore("db")
    assert caught.value.hint == "set accessories.db.restore in pipeline.yaml"


def test_one_process_at_a_time_works_on_the_data(world: World) -> None:
    """The other one is named."""
    with (
        work_lock(world.home.lock("shop.db.data"), "restore of db"),
        pytest.raises(LockHeld, match=r"^restore of db \(pid"),
    ):
        world.backups().create("db")


def test_a_backup_that_takes_too_long_fails(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its connection is closed, and nothing is left."""
    world.write(text=PIPELINE.replace("keep: 2", "keep: 2, timeout: 100ms"))
    # The command never sees the end of its input, so it does not end.
    monkeypatch.setattr("pipeline.testing.fakes.console.FakeProcess.end_input", lambda _: None)
    with pytest.raises(StageFailed, match=r"^the backup of db was still running after 100ms$"):
        world.backups().create("db")
    assert files(world) == []


def test_a_cancelled_backup_leaves_nothing(world: World) -> None:
    """As when the daemon stops."""
    cancelled = threading.Event()
    cancelled.set()
    context = replace(world.context(), cancelled=cancelled)
    with pytest.raises(Cancelled):
        Backups(context, world.engine, world.console).create("db")
    assert files(world) == []


def test_an_engine_that_goes_away_leaves_nothing(world: World) -> None:
    """The fault is raised as it is."""
    world.engine.faults.fail("console.exec", EngineFault("away"))
    with pytest.raises(EngineFault):
        world.backups().create("db")
    assert files(world) == []


def test_a_kill_at_each_step_leaves_a_complete_backup_or_none(world: World) -> None:
    """The steps are the calls of the engine. The next backup works."""
    for step in range(8):
        world.kill_at(step)
        with suppress(Killed):
            world.backups().create("db")
        world.kill_at(None)
        found = world.backups().files("db")
        for backup in found.all():
            with found.reading(backup) as file:
                assert file.read() == DATA
    world.backups().create("db")


def test_a_restore_that_fails_early_reads_its_backup_no_further(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The backup is closed by then, and the end of the connection unblocks what wrote to it."""
    world.backups().create("db")
    world.write(text=PIPELINE.replace("[load]", "[broken]"))
    end, closed, reads = FakeProcess.end_input, threading.Event(), list[bytes]()

    def write(process: FakeProcess, data: bytes) -> None:
        reads.append(data)
        end(process)
        assert closed.wait(DEADLINE)

    def close(_: FakeProcess) -> None:
        closed.set()

    monkeypatch.setattr(FakeProcess, "write", write)
    monkeypatch.setattr(FakeProcess, "close", close)
    monkeypatch.setattr("pipeline.accessories.backups.CHUNK", 1)
    with pytest.raises(StageFailed, match=r"^the restore of db failed with exit code 3$"):
        world.backups().restore("db")
    until(lambda: not [each for each in threading.enumerate() if each.name.startswith("input of")], "the input ends")
    assert reads == [DATA[:1]]
