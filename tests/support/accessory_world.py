"""A pipeline with one accessory on a fake engine, whose process may be killed at each step."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from pipeline.accessories.accessories import Accessories
from pipeline.accessories.backups import Backups
from pipeline.accessories.declared import DeclaredAccessories
from pipeline.accessories.record import Record
from pipeline.api import StageContext
from pipeline.base.home import Home
from pipeline.config.load import load
from pipeline.engine.container import Container, ContainerSpec
from pipeline.engine.labels import ROLE_ACCESSORY
from pipeline.events import Event
from pipeline.runner.context import PipelineContext
from pipeline.store.store import Store
from pipeline.testing.fakes.clock import FakeClock
from pipeline.testing.fakes.console import FakeConsole
from pipeline.testing.fakes.engine import FakeEngine
from pipeline.testing.fakes.program import Program

CHECK, DUMP, LOAD = ("check",), ("dump",), ("load",)
DATA = b"every row\n"
GOOD = Program(
    commands={CHECK: 0, DUMP: 0, LOAD: 0, ("broken",): 3, ("silent",): 0},
    outputs={DUMP: (DATA, b""), ("broken",): (b"half", b"no such table\n"), ("silent",): (b"", b"nothing to do\n")},
)
PROGRAMS = {
    "db:1": GOOD,
    "db:2": GOOD,
    "db:3": Program(lines=("cannot read the data directory",), exit_code=3),
    "db:5": replace(GOOD, mounts=("/data", "/var/lib/other")),
    "db:4": replace(GOOD, commands={**GOOD.commands, CHECK: 1}, lines=("still loading",)),
}
PIPELINE = """\
name: shop
deploy: {}
accessories:
  db:
    image: IMAGE
    health_check: {command: [check], interval: 1s}
    start_timeout: 30s
    volumes: [data:/data]
    backup: {command: [dump], keep: 2}
    restore: {command: [load]}
"""


class Killed(BaseException):
    """The process ends here."""


class World:
    """One accessory `db` of the pipeline `shop`. `file` is its pipeline.yaml."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.file = folder / "pipeline.yaml"
        self.clock = FakeClock(auto_advance=True)
        self.engine = FakeEngine(program=self._program, now=lambda: self.clock.now().wall)
        for image in PROGRAMS:
            self.engine.images.add(image)
            self.engine.images.registry.add(image)
        self.console = FakeConsole(self.engine)
        self.home = Home.locate({"PENSTOCK_HOME": str(folder / "home")})
        self.store = Store(self.home.database)
        self.events: list[Event] = []
        self.on_call: Callable[[], None] = lambda: None
        self._kill_in: int | None = None
        self._wrap_calls()
        self.write()

    def write(self, image: str = "db:1", text: str = PIPELINE) -> None:
        """Write the file."""
        self.file.write_text(text.replace("IMAGE", image))

    def context(self, by: str | None = None) -> StageContext:
        """Return the context of a process that has just read the file."""
        configuration = load(self.file, secrets_needed=False)
        return PipelineContext(
            self.home, configuration, self.store, [self.events.append], clock=self.clock, by=by
        ).stage_context()

    def accessories(self, by: str | None = None) -> Accessories:
        """Return the accessories as a new process of a user sees them."""
        return Accessories(self.context(by), self.engine)

    def declared(self, context: StageContext | None = None) -> DeclaredAccessories:
        """Return the accessories of the file."""
        return DeclaredAccessories(context or self.context())

    def backups(self) -> Backups:
        """Return the backups as a new process sees them."""
        return Backups(self.context(), self.engine, self.console)

    @property
    def record(self) -> Record | None:
        """The record of `db`."""
        row = self.store.accessories.get("shop", "db")
        return Record.from_row(row) if row else None

    @property
    def containers(self) -> list[Container]:
        """Every container of `db`."""
        return [each for each in self.engine.containers.all("shop") if each.labels["penstock.role"] == ROLE_ACCESSORY]

    @property
    def running(self) -> list[Container]:
        """The containers of `db` that run."""
        return [each for each in self.containers if each.is_running]

    def kinds(self) -> list[str]:
        """Return the kinds of the events so far."""
        return [event.kind for event in self.events]

    def kill_at(self, step: int | None) -> None:
        """Kill the process at its `step`th step: before or after a call of the engine, or a change in the store."""
        self._kill_in = step

    @property
    def has_kill_left(self) -> bool:
        """True if the process has not reached the step at which it is killed."""
        return self._kill_in is not None

    def repaired(self) -> None:
        """Let a daemon repair until nothing is left to do."""
        self.kill_at(None)
        accessories = self.accessories()
        for _ in range(500):
            if accessories.repair():
                return
            self.clock.advance(timedelta(seconds=0.5))
        raise AssertionError("the repair does not end")

    def _program(self, spec: ContainerSpec) -> Program:
        if spec.image == self.engine.images.known("db:9"):
            return GOOD
        names = [name for name in PROGRAMS if self.engine.images.known(name) == self.engine.images.known(spec.image)]
        return PROGRAMS[names[0]]

    def _step(self) -> None:
        self.on_call()
        if self._kill_in is not None:
            self._kill_in -= 1
            if self._kill_in < 0:
                self._kill_in = None
                raise Killed

    def _wrap_calls(self) -> None:
        call, store = self.engine.faults.call, self.store.accessories

        @contextmanager
        def stepped(name: str) -> Iterator[None]:
            self._step()
            with call(name):
                yield
            self._step()

        def changing(change: Callable[..., None]) -> Callable[..., None]:
            def changed(*values: object) -> None:
                self._step()
                change(*values)
                self._step()

            return changed

        self.engine.faults.call = stepped  # type: ignore[method-assign]
        store.put = changing(store.put)  # type: ignore[method-assign]
        store.delete = changing(store.delete)  # type: ignore[method-assign]
