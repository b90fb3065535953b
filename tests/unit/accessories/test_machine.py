"""Every order of commands, crashes of the runner and of the engine leaves one container, on the right version."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from pipeline.accessories.record import WantedState
from pipeline.base.errors import PenstockError
from pipeline.engine.labels import LABEL_VERSION
from tests.support.accessory_world import DATA, Killed, World
from tests.support.sample import sampled

IMAGES = st.sampled_from(["db:1", "db:2", "db:3", "db:4"])
# Half of the processes live.
STEPS = st.one_of(st.none(), st.integers(0, 40))


class AccessoryMachine(RuleBasedStateMachine):
    """Users, deployments, a daemon, and what may happen to their processes and to the engine."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.world = World(self.folder)
        self.world.on_call = self.check_now
        # Their containers may be missing until a daemon looks.
        self.removed_by_hand: set[str] = set()

    @initialize(is_running=st.booleans())
    def begin(self, is_running: bool) -> None:
        """Often, a deployment has started it before."""
        if is_running:
            self.world.accessories().start()

    @rule(image=IMAGES, step=STEPS)
    def start(self, image: str, step: int | None) -> None:
        """A deployment or a user starts what the file has."""
        self.world.write(image)
        self.acting(step, lambda: self.world.accessories().start())

    @rule(image=IMAGES, step=STEPS)
    def upgrade(self, image: str, step: int | None) -> None:
        """A user changes the file and upgrades."""
        self.world.write(image)
        self.acting(step, lambda: self.world.accessories().upgrade("db"))

    @rule(command=st.sampled_from(["stop", "restart", "down"]), step=STEPS)
    def command(self, command: str, step: int | None) -> None:
        """A user stops it, restarts it, or takes the pipeline down."""
        accessories = self.world.accessories()
        acts: dict[str, Callable[[], object]] = {
            "stop": lambda: accessories.stop("db"),
            "restart": lambda: accessories.restart("db"),
            "down": accessories.remove_all,
        }
        self.acting(step, acts[command])

    @rule(is_restore=st.booleans(), step=STEPS)
    def data(self, is_restore: bool, step: int | None) -> None:
        """A backup is made or restored."""
        backups = self.world.backups()
        self.acting(step, lambda: backups.restore("db") if is_restore else backups.create("db"))

    @rule(step=STEPS, seconds=st.integers(0, 40))
    def repair(self, step: int | None, seconds: int) -> None:
        """The daemon looks once, some time later."""
        self.world.clock.advance(timedelta(seconds=seconds))
        self.acting(step, lambda: self.world.accessories().repair())

    @rule(harm=st.sampled_from(["exit", "removal", "restart of the engine"]))
    def harm(self, harm: str) -> None:
        """The process exits, a user removes the container with Docker, or the engine dies and starts again."""
        engine, running = self.world.engine, self.world.running
        if harm == "restart of the engine":
            engine.kill_daemon()
            engine.start_daemon()
        elif running and harm == "exit":
            engine.containers.exit(running[0].id, 1)
        elif running:
            self.removed_by_hand.add(running[0].labels[LABEL_VERSION])
            engine.containers.forget(running[0].id)

    @rule()
    def daemon_settles(self) -> None:
        """The daemon has all the time it needs. What is wanted is there afterwards, and nothing else."""
        world = self.world
        with suppress(PenstockError):
            # The failure of a start that was interrupted is reported once.
            world.repaired()
        world.repaired()
        record = world.record
        if record is None:
            assert world.containers == []
            return
        assert record.next is None
        assert record.current is not None
        versions = [each.labels[LABEL_VERSION] for each in world.containers]
        if record.wanted is WantedState.RUNNING:
            assert versions == [record.current.id]
            assert len(world.running) == 1
            # The engine brings it back by itself.
            world.engine.kill_daemon()
            world.engine.start_daemon()
            assert len(world.running) == 1
        else:
            assert record.wanted is WantedState.STOPPED
            world.engine.kill_daemon()
            world.engine.start_daemon()
            assert world.running == []
            assert versions in ([record.current.id], [])

    def acting(self, step: int | None, act: Callable[[], object]) -> None:
        """Act in a process that is killed at a step, or lives."""
        self.world.kill_at(step)
        with suppress(Killed, PenstockError):
            act()
        self.world.kill_at(None)

    def check_now(self) -> None:
        """Check what holds at every instant."""
        assert len(self.world.running) <= 1, "two containers on one volume"

    @invariant()
    def the_container_that_was_healthy_is_kept(self) -> None:
        """The container of the current version is there until another one was healthy, or it is to be removed."""
        record = self.world.record
        self.check_now()
        if record is None or record.current is None or record.wanted is WantedState.REMOVED:
            return
        versions = {each.labels[LABEL_VERSION] for each in self.world.containers}
        assert record.current.id in versions | self.removed_by_hand

    @invariant()
    def current_versions_work(self) -> None:
        """Only an image that was healthy is the current one."""
        record = self.world.record
        if record is not None and record.current is not None:
            assert record.current.settings.image in ("db:1", "db:2")

    @invariant()
    def backups_are_complete(self) -> None:
        """Each backup has all the data, and there are not many more than are kept."""
        files = self.world.backups().files("db")
        found = files.all()
        for backup in found:
            with files.reading(backup) as file:
                assert file.read() == DATA
        # A kill between a backup and the deletion of an old one leaves one more.
        assert len(found) <= 2 + self.kept_more

    @property
    def kept_more(self) -> int:
        """The number of backups that killed processes may not have deleted."""
        return 1

    def teardown(self) -> None:
        """Close the store."""
        self.world.store.close()
        shutil.rmtree(self.folder)


AccessoryMachine.TestCase.settings = settings(max_examples=sampled(25), stateful_step_count=25, deadline=None)
TestAccessories = AccessoryMachine.TestCase
