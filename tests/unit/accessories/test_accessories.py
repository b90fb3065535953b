"""Accessories: started once, upgraded or taken back, stopped, repaired and removed."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.accessories.accessories import Accessories
from pipeline.accessories.record import WantedState
from pipeline.base.errors import Cancelled, ConfigError, EngineFault, LockHeld, StageFailed
from pipeline.base.lock import work_lock
from pipeline.config.secrets import Secrets
from stages.deploy.accessories import are_current, finish_accessories, remove_accessories, start_accessories
from tests.support.accessory_world import PIPELINE, World

WITHOUT = "name: shop\ndeploy: {}\n"


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    found = World(tmp_path)
    yield found
    found.store.close()


@pytest.fixture
def started(world: World) -> World:
    """A world in which `db` runs from db:1."""
    world.accessories().start()
    return world


def image(world: World) -> str | None:
    """Return the image of the current version."""
    return world.record.current.settings.image if world.record and world.record.current else None


def test_a_start_makes_a_container_that_services_reach_by_its_name(world: World) -> None:
    """It has the pipeline's network, its volumes, and the accessory's name as its host name."""
    world.accessories().start()
    (spec,) = world.engine.containers.specs()
    assert (spec.network, spec.aliases, spec.volumes) == ("penstock-012345-shop", ("db",), ("data:/data",))
    assert spec.labels["penstock.role"] == "accessory"
    assert world.kinds() == ["accessory.starting", "accessory.started"]
    assert world.events[1].fields["image"] == "db:1"


def test_a_start_that_repeats_changes_nothing(started: World) -> None:
    """The same container runs, and nothing is emitted."""
    before, told = started.running, len(started.events)
    started.accessories().start()
    assert [each.id for each in started.running] == [each.id for each in before]
    assert len(started.events) == told


def test_a_start_leaves_what_differs(started: World) -> None:
    """A file with another image replaces nothing. The difference is described with the command."""
    started.write("db:2")
    accessories = started.accessories()
    accessories.start()
    assert image(started) == "db:1"


def test_an_image_that_is_missing_is_pulled(world: World) -> None:
    """The pull is reported. One that fails leaves nothing."""
    world.engine.images.registry.add("db:9")
    world.write("db:9")
    world.accessories().start()
    assert world.kinds()[0] == "image.pulling"
    world.accessories().remove_all()
    world.write("db:8")
    with pytest.raises(StageFailed) as caught:
        world.accessories().start()
    assert caught.value.message == "image db:8 cannot be pulled: pull access denied for db:8"
    assert (world.record, world.containers) == (None, [])


@pytest.mark.parametrize(
    ("bad", "message", "tail"),
    [
        ("db:3", "accessory db exited with code 3", ("cannot read the data directory",)),
        ("db:4", "accessory db: its health check fails", ("still loading",)),
    ],
)
def test_a_first_start_that_fails_leaves_nothing(world: World, bad: str, message: str, tail: tuple[str, ...]) -> None:
    """The error has the container's last lines. The container is removed, and the next start begins anew."""
    world.write(bad)
    with pytest.raises(StageFailed) as caught:
        world.accessories().start()
    assert (caught.value.message, caught.value.tail) == (message, tail)
    assert (world.record, world.containers) == (None, [])
    world.write("db:1")
    world.accessories().start()
    assert len(world.running) == 1


def test_a_start_that_takes_too_long_fails(world: World) -> None:
    """The limit is `start_timeout`."""
    world.write("db:4", PIPELINE.replace("interval: 1s", "interval: 1s, unhealthy_threshold: 100"))
    with pytest.raises(StageFailed, match=r"^accessory db did not become healthy within 30s$"):
        world.accessories().start()
    assert world.containers == []


def test_a_cancelled_start_leaves_nothing(world: World) -> None:
    """Ctrl-C while it waits for health takes the start back."""
    world.write("db:4", PIPELINE.replace("interval: 1s", "interval: 1s, unhealthy_threshold: 100"))
    cancelled = threading.Event()
    cancelled.set()
    with pytest.raises(Cancelled):
        Accessories(replace(world.context(), cancelled=cancelled), world.engine).start()
    assert (world.record, world.containers) == (None, [])


def test_an_upgrade_replaces_the_container_on_the_same_volume(started: World) -> None:
    """The old one is stopped first, and removed once the new one is healthy."""
    old = started.running[0]
    started.write("db:2")
    started.events.clear()
    assert started.accessories().upgrade("db")
    (spec,) = started.engine.containers.specs()
    assert (image(started), spec.volumes) == ("db:2", ("data:/data",))
    assert [each.id for each in started.containers] != [old.id]
    assert started.kinds() == [
        "image.pulling",
        "accessory.stopping",
        "accessory.starting",
        "accessory.started",
        "accessory.removed",
    ]


def test_an_upgrade_without_a_difference_does_nothing(started: World) -> None:
    """The container stays."""
    before = started.running[0].id
    assert not started.accessories().upgrade("db")
    assert started.running[0].id == before


@pytest.mark.parametrize("bad", ["db:3", "db:4"])
def test_an_upgrade_that_fails_brings_the_previous_container_back(started: World, bad: str) -> None:
    """The same container runs again, the error has the lines of the new one, and an event says so."""
    before = started.running[0].id
    started.write(bad)
    with pytest.raises(StageFailed) as caught:
        started.accessories().upgrade("db")
    assert caught.value.tail
    assert [each.id for each in started.containers] == [before]
    assert [each.id for each in started.running] == [before]
    assert (image(started), started.record and started.record.next) == ("db:1", None)
    assert caught.value.message.endswith("; the previous container runs again")
    assert started.kinds()[-1] == "accessory.restarted"


def test_an_upgrade_whose_image_cannot_be_pulled_uses_the_one_of_this_machine(started: World) -> None:
    """If it or the settings differ. Without a difference, the pull's error is raised."""
    started.engine.images.registry.clear()
    with pytest.raises(StageFailed, match=r"^image db:1 cannot be pulled: "):
        started.accessories().upgrade("db")
    started.write("db:2")
    assert started.accessories().upgrade("db")
    assert "accessory.warning" in started.kinds()


def test_a_tag_that_moved_is_upgraded(started: World) -> None:
    """The image has another id under the same name."""
    started.engine.images.tag(started.engine.images.known("db:2"), "db:1")
    assert started.accessories().upgrade("db")
    assert started.running[0].image == started.engine.images.known("db:2")


def test_data_in_a_volume_without_a_name_is_not_lost_by_accident(world: World) -> None:
    """The start warns, and an upgrade is refused, unless the user discards it."""
    world.write("db:5")
    world.accessories().start()
    assert (world.events[-1].kind, world.events[-1].message) == (
        "accessory.warning",
        "db keeps /var/lib/other in a volume without a name, which is lost with its container; name one in volumes",
    )
    world.write("db:2")
    with pytest.raises(ConfigError) as caught:
        world.accessories().upgrade("db")
    assert caught.value.message == (
        "accessory db keeps /var/lib/other in a volume without a name, which an upgrade would lose"
    )
    assert caught.value.hint == "make a backup, and mount a named volume there; --discard loses the data"
    assert image(world) == "db:5"
    assert world.accessories().upgrade("db", discard=True)


def test_a_stopped_accessory_stays_stopped(started: World) -> None:
    """Neither the daemon nor a restart of the engine starts it. A start does, with the same container."""
    before = started.running[0].id
    started.accessories().stop("db")
    started.repaired()
    started.engine.kill_daemon()
    started.engine.start_daemon()
    assert (started.running, [each.id for each in started.containers]) == ([], [before])
    started.accessories().start()
    assert [each.id for each in started.running] == [before]


def test_an_accessory_that_is_not_in_the_file_any_more_is_removed_by_a_stop(started: World) -> None:
    """Its container and its record go."""
    started.write(text="name: shop\ndeploy: {}\n")
    started.accessories().stop("db")
    assert (started.record, started.containers) == (None, [])


@pytest.fixture
def deployed(world: World) -> World:
    """A world in which a commit with `db` was deployed, and the served file has no accessory."""
    start_accessories(world.context(), world.engine)
    finish_accessories(world.context())
    world.write(text=WITHOUT)
    return world


def test_an_accessory_of_the_deployed_commit_is_declared(deployed: World) -> None:
    """A stop keeps its container, and a start and an upgrade work without the served file."""
    before = deployed.running[0].id
    assert (deployed.declared().undeclared(), deployed.declared().drift_lines()) == ([], [])
    deployed.accessories().stop("db")
    assert [each.id for each in deployed.containers] == [before]
    deployed.accessories().start()
    assert [each.id for each in deployed.running] == [before]
    assert not deployed.accessories().upgrade("db")
    assert deployed.backups().create("db").size


def test_the_deployed_commit_is_compared_with_what_runs(deployed: World) -> None:
    """A later commit with another image is deployed. The served file counts where it has the accessory."""
    deployed.write("db:2")
    start_accessories(deployed.context(), deployed.engine)
    finish_accessories(deployed.context())
    deployed.write(text=WITHOUT)
    assert deployed.declared().drift() == {"db": ["image"]}
    deployed.write("db:1")
    assert deployed.declared().drift() == {}


def test_a_deployed_commit_without_the_accessory_ends_its_declaration(deployed: World) -> None:
    """The deployment does not start one that a user has stopped. Until it succeeds, the accessory is declared."""
    deployed.accessories().stop("db")
    assert not are_current(deployed.context())
    start_accessories(deployed.context(), deployed.engine)
    assert (
        deployed.events[-1].message == "accessory db is not in pipeline.yaml: `pipeline accessory stop db` removes it"
    )
    assert deployed.declared().undeclared() == []
    finish_accessories(deployed.context())
    assert (deployed.declared().undeclared(), are_current(deployed.context())) == (["db"], True)
    assert deployed.running == []
    deployed.accessories().stop("db")
    assert (deployed.record, deployed.containers) == (None, [])


def test_an_accessory_of_a_deployment_that_failed_is_declared(world: World) -> None:
    """It runs, and the next commit will probably need it."""
    start_accessories(world.context(), world.engine)
    world.write(text=WITHOUT)
    assert world.declared().undeclared() == []


def test_nothing_is_declared_after_down(deployed: World) -> None:
    """Neither the served file nor a deployment has an accessory."""
    assert remove_accessories(deployed.context(), deployed.engine) == ["db"]
    assert deployed.declared().settings == {}


def test_a_restart_starts_the_same_container_again(started: World) -> None:
    """A changed file is not applied."""
    before = started.running[0].id
    started.write("db:2")
    started.accessories().restart("db")
    assert [each.id for each in started.running] == [before]


def test_the_daemon_starts_what_was_removed_by_hand(started: World) -> None:
    """From the stored version, also if the file has another one by now."""
    started.engine.containers.forget(started.running[0].id)
    started.write("db:2")
    started.repaired()
    assert len(started.running) == 1
    assert started.running[0].image == started.engine.images.known("db:1")
    assert started.kinds()[-2:] == ["accessory.starting", "accessory.restarted"]


def test_the_daemon_starts_what_exited_while_the_engine_did_not_restart_it(started: World) -> None:
    """The same container runs again."""
    before = started.running[0].id
    started.engine.containers.set_restart_policy(before, "no")
    started.engine.containers.exit(before, 1)
    started.repaired()
    assert [each.id for each in started.running] == [before]


def prune_networks(world: World) -> None:
    """Remove the network while no container runs, as `docker network prune` does."""
    world.accessories().stop("db")
    world.engine.networks.remove("shop")


@pytest.mark.parametrize("act", ["start", "restart", "upgrade"])
def test_a_stopped_accessory_whose_network_was_removed_starts_anew(started: World, act: str) -> None:
    """A new container of the same version runs on the same volumes, and the old one is removed."""
    before = started.record
    prune_networks(started)
    started.events.clear()
    getattr(started.accessories(), act)(*([] if act == "start" else ["db"]))
    (spec,) = started.engine.containers.specs()
    assert (len(started.running), spec.volumes, started.record) == (1, ("data:/data",), before)
    assert started.kinds()[-3:] == ["accessory.removed", "accessory.starting", "accessory.restarted"]
    assert "its network was removed" in started.events[-3].message


def test_a_container_without_its_network_keeps_data_in_a_volume_without_a_name(world: World) -> None:
    """It is not removed, and the error says how to save the data."""
    world.write("db:5")
    world.accessories().start()
    name = world.running[0].name
    prune_networks(world)
    with pytest.raises(StageFailed, match="would lose /var/lib/other, which is in a volume without a name") as caught:
        world.accessories().start()
    assert caught.value.hint is not None
    assert f"`docker cp {name}:/var/lib/other .`" in caught.value.hint
    assert [each.name for each in world.containers] == [name]


def test_the_daemon_leaves_an_unhealthy_container_alone(started: World) -> None:
    """A database that is slow must not be restarted for it. No failure is raised."""
    started.engine.containers.program_for(started.running[0].id, commands={})
    before = started.running[0].id
    started.clock.advance(started.context().configuration.pipeline.accessories["db"].start_timeout * 2)
    started.repaired()
    assert [each.id for each in started.running] == [before]


def test_a_deployment_waits_for_a_container_that_runs_already(started: World) -> None:
    """One that is unhealthy fails it, and stays as it is."""
    before = started.running[0].id
    started.engine.containers.program_for(before, commands={})
    started.clock.advance(started.context().configuration.pipeline.accessories["db"].start_timeout)
    with pytest.raises(StageFailed, match=r"^accessory db did not become healthy within 30s$"):
        started.accessories().start()
    assert [each.id for each in started.running] == [before]


def test_removal_leaves_no_container(started: World) -> None:
    """The accessories are named."""
    assert started.accessories().remove_all() == ["db"]
    assert (started.record, started.containers) == (None, [])
    assert started.accessories().remove_all() == []


def test_a_port_that_is_taken_is_the_fault_of_the_file(world: World) -> None:
    """The engine reports it as a fault of its own. The start is taken back."""
    world.engine.faults.fail(
        "containers.start", EngineFault("Bind for 127.0.0.1:5432 failed: port is already allocated")
    )
    with pytest.raises(StageFailed, match="port is already allocated"):
        world.accessories().start()
    assert world.record is None


def test_a_fault_of_the_engine_leaves_the_change_for_later(started: World) -> None:
    """What was wanted is in the store, and the daemon completes it."""
    started.write("db:2")
    started.engine.faults.fail("containers.start", EngineFault("connection lost"))
    with pytest.raises(EngineFault):
        started.accessories().upgrade("db")
    assert started.running == []
    assert started.record is not None
    assert started.record.next is not None
    started.repaired()
    assert (image(started), len(started.running)) == ("db:2", 1)


def test_a_changed_secret_differs(world: World) -> None:
    """The value is not stored."""
    text = PIPELINE.replace("    volumes:", '    environment: {PASSWORD: "${secret:DB}"}\n    volumes:')
    world.write(text=text)
    context = world.context()
    for value, drift in (("first-value", {}), ("another", {"db": ["the value of a secret"]})):
        configuration = replace(context.configuration, secrets=Secrets({"DB": value}))
        accessories = replace(context, configuration=configuration)
        Accessories(accessories, world.engine).start()
        assert world.declared(accessories).drift() == drift
    row = world.store.accessories.get("shop", "db")
    assert row is not None
    assert "first-value" not in str(row)


def test_names_that_are_not_declared_are_refused(world: World) -> None:
    """The hint has the nearest name."""
    for act in (
        lambda: world.accessories().start(["dbs"]),
        lambda: world.accessories().upgrade("dbs"),
        lambda: world.accessories().stop("dbs"),
        lambda: world.accessories().restart("dbs"),
        lambda: world.accessories().container("dbs"),
    ):
        with pytest.raises(ConfigError) as caught:
            act()
        assert (caught.value.message, caught.value.hint) == ("there is no accessory dbs", "did you mean db?")


def test_the_container_of_a_stopped_accessory_runs_no_command(started: World) -> None:
    """The hint has the command that starts it."""
    started.accessories().stop("db")
    with pytest.raises(ConfigError) as caught:
        started.accessories().container("db")
    assert (caught.value.message, caught.value.hint) == (
        "accessory db does not run",
        "start it with `pipeline accessory start db`",
    )


def test_no_upgrade_stops_a_container_during_its_backup(started: World) -> None:
    """The lock of the data names its holder. A deployment needs no such lock, since it stops nothing."""
    with work_lock(started.home.lock("shop.db.data"), "backup of db"):
        for act in (started.accessories().upgrade, started.accessories().stop, started.accessories().restart):
            with pytest.raises(LockHeld, match="backup of db"):
                act("db")
        started.accessories().start()


def test_the_repair_waits_for_nobody(started: World) -> None:
    """While another process changes accessories, the daemon tries again later."""
    with work_lock(started.home.lock("shop.accessories"), "upgrade"):
        assert not started.accessories().repair()


def test_what_is_wanted_is_stored_with_names_of_secrets_only(started: World) -> None:
    """The record survives a process: it is read as it was written."""
    record = started.record
    assert record is not None
    assert (record.wanted, record.next) == (WantedState.RUNNING, None)
    assert record.current is not None
    assert record.current.settings.made_from() == started.context().configuration.pipeline.accessories["db"].made_from()


def test_the_user_of_a_command_is_in_its_events(world: World) -> None:
    """What a user stops and starts says who. What the daemon does has no user."""
    world.accessories(by="anna").start()
    world.accessories(by="bob").stop("db")
    actors = {event.kind: event.fields.get("by") for event in world.events}
    assert (actors["accessory.starting"], actors["accessory.stopping"]) == ("anna", "bob")
    assert "by" not in next(event for event in world.events if event.kind == "accessory.started").fields
    assert next(event for event in world.events if event.kind == "accessory.starting").message.endswith(" (by anna)")
