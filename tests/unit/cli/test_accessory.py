"""`pipeline accessory`, and accessories in `pipeline status`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from pipeline.base.errors import ConfigError, StageFailed
from pipeline.cli import accessory, recover, status
from pipeline.engine import hosts
from stages.deploy.accessories import finish_accessories
from tests.support.accessory_world import DATA, LOAD, World
from tests.support.accessory_world import PIPELINE as WITH_CHECK

# Commands have the clock of the machine, so no check takes time.
PIPELINE = WITH_CHECK.replace("{command: [check], interval: 1s}", "{uptime: 0s}")


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """A pipeline in the working directory whose `db` runs."""
    found = World(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PENSTOCK_HOME", str(found.home.root))
    monkeypatch.setattr(hosts, "local_engine", lambda *_: found.engine)
    for module in ("pipeline.engine.hosts", "pipeline.cli.app"):
        monkeypatch.setattr(f"{module}.local_console", lambda *_: found.console)
    found.write(text=PIPELINE)
    found.accessories().start()
    yield found
    found.store.close()


def run(*arguments: str) -> Result:
    """Run a command of the group. Raises its error."""
    return CliRunner().invoke(accessory.command, arguments, catch_exceptions=False)


def test_the_list_knows_the_accessories_of_the_deployed_commit(world: World) -> None:
    """The served file has none. The list advises no removal."""
    finish_accessories(world.context())
    world.write(text="name: shop\ndeploy: {}\n")
    (found,) = json.loads(run("list", "--json").output)
    assert (found["declared"], found["drift"]) == (True, [])
    assert "removes it" not in run("list").output
    assert run("stop", "db").output.endswith("db: stopped\n")


def test_the_list_shows_state_health_and_backup(world: World) -> None:
    """As a table, and as JSON with the same facts."""
    world.backups().create("db")
    header, row = run("list").output.splitlines()
    assert header.split() == ["ACCESSORY", "STATE", "IMAGE", "HEALTH", "LAST", "BACKUP", "CONTAINER"]
    assert row.split()[:4] == ["db", "running", "db:1", "healthy"]
    (found,) = json.loads(run("list", "--json").output)
    assert found == {
        "name": "db",
        "state": "running",
        "image": "db:1",
        "health": "healthy",
        "container": world.running[0].name,
        "address": world.running[0].address,
        "declared": True,
        "drift": [],
        "last_backup": found["last_backup"],
    }
    assert found["last_backup"]


def test_the_list_names_what_is_to_be_done(world: World) -> None:
    """A difference from the file, an accessory that was never started, and one that is not in the file."""
    world.write("db:2", PIPELINE)
    assert run("list").output.splitlines()[-1] == (
        "accessory db differs from pipeline.yaml in image: `pipeline accessory upgrade db`"
    )
    world.write(text=PIPELINE.replace("  db:", "  cache:"))
    output = run("list").output
    assert "not started" in output
    assert "accessory db is not in pipeline.yaml: `pipeline accessory stop db` removes it" in output
    world.accessories().stop("db")
    world.file.write_text("name: shop\ndeploy: {}\n")
    assert run("list").output == "shop has no accessories\n"


def test_a_list_beside_an_invalid_file(world: World) -> None:
    """Nothing is known of differences."""
    world.file.write_text(PIPELINE.replace("IMAGE", "db:2") + "other: 1\n")
    (found,) = json.loads(run("list", "--json").output)
    assert (found["state"], found["declared"], found["drift"]) == ("running", None, [])


def test_a_container_that_is_gone_is_missing(world: World) -> None:
    """The command that starts it is named."""
    world.engine.containers.forget(world.running[0].id)
    assert "accessory db does not run: `pipeline accessory start db`" in run("list").output


def test_stop_start_and_restart(world: World) -> None:
    """Each says what is true afterwards, with its events before."""
    assert run("stop", "db").output.splitlines()[-1] == "db: stopped"
    assert world.running == []
    assert "stopped" in run("list").output
    assert run("start").output.splitlines()[-1] == "db: running and healthy"
    assert run("restart", "db").output.splitlines()[-1] == "db: running and healthy"
    assert len(world.running) == 1


def test_an_upgrade(world: World) -> None:
    """One that changes something, one that does not, and one that fails."""
    world.write("db:2", PIPELINE)
    assert run("upgrade", "db").output.splitlines()[-1] == "db: running and healthy"
    assert run("upgrade", "db").output.splitlines()[-1] == "db: nothing to do, it is up to date"
    world.write("db:3", PIPELINE)
    with pytest.raises(StageFailed, match=r"^accessory db exited with code 3; the previous container runs again$"):
        run("upgrade", "db")


def test_events_are_stored_and_printed_as_json(world: World) -> None:
    """One object a line."""
    kinds = [json.loads(line)["kind"] for line in run("stop", "db", "--json").output.splitlines()]
    assert kinds == ["accessory.stopping"]
    assert world.store.events.latest("shop")[-1].kind == "accessory.stopping"


def test_backups_and_a_restore(world: World) -> None:
    """A restore asks for a confirmation, and needs `--yes` without a terminal."""
    assert run("backups", "db").output == "db has no backups\n"
    run("backup", "db")
    (made,) = json.loads(run("backups", "db", "--json").output)
    header, row, folder = run("backups", "db").output.splitlines()
    assert header.split() == ["BACKUP", "MADE", "AT", "BYTES", "IMAGE"]
    assert (row.split()[0], folder) == (made["name"], f"in {world.home.backups('shop', 'db')}")
    with pytest.raises(ConfigError) as caught:
        run("restore", "db")
    assert caught.value.hint == "confirm it with --yes"
    assert LOAD not in world.console.received
    run("restore", "db", made["name"], "--yes")
    assert bytes(world.console.received[LOAD]) == DATA


@pytest.mark.parametrize(("answer", "restored"), [("y\n", True), ("n\n", False), ("\n", False)])
def test_a_restore_on_a_terminal(world: World, monkeypatch: pytest.MonkeyPatch, answer: str, restored: bool) -> None:
    """Only a clear yes restores."""
    run("backup", "db")
    monkeypatch.setattr("pipeline.cli.accessory_restore.is_terminal", lambda: True)
    result = CliRunner().invoke(accessory.command, ["restore", "db"], input=answer)
    assert "replace the data of db by the backup" in result.output
    assert (LOAD in world.console.received) is restored


def test_a_command_in_the_container(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """It has its exit code, also if the file is invalid. A stopped accessory runs none."""
    codes = []
    monkeypatch.setattr(
        "pipeline.cli.accessory_exec.attach", lambda process, **_: codes.append(process.wait()) or codes[-1]
    )
    world.file.write_text("name: shop\nother: 1\n")
    assert CliRunner().invoke(accessory.command, ["exec", "db", "--", "broken"]).exit_code == 3
    with pytest.raises(ConfigError) as caught:
        run("exec", "dbs", "--", "broken")
    assert (caught.value.message, caught.value.hint) == ("accessory dbs has no container", "did you mean db?")
    world.engine.containers.stop(world.running[0].id, timedelta(0))
    with pytest.raises(ConfigError, match=r"^accessory db does not run\n"):
        run("exec", "db")


def test_a_log_that_the_engine_does_not_keep(world: World) -> None:
    """The command says so."""
    result = run("logs", "db")
    assert result.exit_code == 0
    assert "Docker has no log of shop.db." in result.stderr


def test_the_status_has_the_accessories(world: World) -> None:
    """With their differences, in text and in JSON."""
    world.write("db:2", PIPELINE)
    lines = CliRunner().invoke(status.command, [], catch_exceptions=False).output.splitlines()
    assert "accessory db: running, healthy, db:1" in lines
    assert "accessory db differs from pipeline.yaml in image: `pipeline accessory upgrade db`" in lines
    data = json.loads(CliRunner().invoke(status.command, ["--json"], catch_exceptions=False).output)
    assert [(each["name"], each["state"], each["drift"]) for each in data["accessories"]] == [
        ("db", "running", ["image"])
    ]


def test_the_status_without_an_engine_says_of_no_accessory_that_it_is_down(world: World) -> None:
    """Else it would name a command that repairs nothing."""
    world.engine.faults.go_away()
    lines = CliRunner().invoke(status.command, [], catch_exceptions=False).output.splitlines()
    assert [line for line in lines if "accessory" in line] == ["accessory db: unknown, db:1"]
    world.engine.faults.come_back()
    world.engine.containers.forget(world.running[0].id)
    lines = CliRunner().invoke(status.command, [], catch_exceptions=False).output.splitlines()
    assert "accessory db does not run: `pipeline accessory start db`" in lines


def test_a_recovery_starts_what_should_run(world: World) -> None:
    """`pipeline recover` says when there is nothing to do."""
    assert CliRunner().invoke(recover.command, [], catch_exceptions=False).output == "nothing to recover\n"
    world.engine.containers.forget(world.running[0].id)
    output = CliRunner().invoke(recover.command, [], catch_exceptions=False).output
    assert "db was started again: its container was gone" in output
    assert len(world.running) == 1


def test_names_that_are_not_there(world: World) -> None:
    """Every command names the nearest."""
    for arguments in (("start", "dbs"), ("stop", "dbs"), ("upgrade", "dbs"), ("backup", "dbs"), ("restore", "dbs")):
        with pytest.raises(ConfigError) as caught:
            run(*arguments)
        assert (caught.value.message, caught.value.hint) == ("there is no accessory dbs", "did you mean db?")
