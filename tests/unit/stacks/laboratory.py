"""A stack of things in memory, whose process can die at every side effect."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from pipeline.stacks.operation import StackOperation, Surroundings
from pipeline.stacks.provider import StackContext
from pipeline.stacks.records import Goal, Stack
from pipeline.stacks.resource_types import ResourceTypes
from pipeline.stacks.start import add_stack, new_stack, start_deletion, start_update
from pipeline.stacks.state import StackState
from pipeline.stacks.store import StackStore
from pipeline.store.database import Database
from pipeline.testing.fakes.clock import FakeClock
from tests.support.mortal_process import ProcessDied
from tests.support.stack_world import THING, Graph, InlineWorkers, Node, World

OWNER = "shop"


class Countdown:
    """Lets the process die at its n-th side effect, which are transactions and calls that change the world."""

    def __init__(self) -> None:
        self.left: int | None = None

    def tick(self) -> None:
        """Count a side effect."""
        if self.left is not None:
            self.left -= 1
            if self.left < 0:
                raise ProcessDied


class MortalDatabase(Database):
    """A database whose process may die before and after each transaction."""

    def __init__(self, path: Path, countdown: Countdown) -> None:
        self._countdown = Countdown()
        super().__init__(path)
        self._countdown = countdown

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Count the transaction."""
        self._countdown.tick()
        with super().transaction() as db:
            yield db
        self._countdown.tick()


class Laboratory:
    """One stack in a database, with the world of its resources. Templates are graphs, named by their number."""

    def __init__(self, folder: Path) -> None:
        self.world = World()
        self.clock = FakeClock(auto_advance=True)
        self.countdown = Countdown()
        self.world.on_call = lambda _call, _when: self.countdown.tick()
        self._folder = folder
        self._graphs: dict[str, Graph] = {}
        self.store = StackStore(MortalDatabase(folder / "db", self.countdown))
        self.stack_id = ""

    @property
    def stack(self) -> Stack:
        """The stack as it is stored."""
        return self.store.get(self.stack_id)

    def goal(self, nodes: Mapping[str, Node], exports: Mapping[str, str] | None = None) -> Goal:
        """Return the goal for a graph."""
        name = str(len(self._graphs))
        self._graphs[name] = Graph(nodes, exports)
        return Goal(name)

    def create(self, nodes: Mapping[str, Node], exports: Mapping[str, str] | None = None, **fields: object) -> Stack:
        """Create the stack, and work until the end or the death of the process."""
        stack = new_stack("lab", OWNER, "eu-west-1", "000000000000", self.goal(nodes, exports), self.clock, **fields)
        self.stack_id = stack.id
        add_stack(self.store, stack, ())
        return self.work()

    def update(self, nodes: Mapping[str, Node], exports: Mapping[str, str] | None = None, **fields: object) -> Stack:
        """Update the stack."""
        start_update(self.state(), self.goal(nodes, exports), frozenset(), **fields)
        return self.work()

    def delete(self, retained: tuple[str, ...] = ()) -> Stack:
        """Delete the stack."""
        start_deletion(self.state(), retained)
        return self.work()

    def state(self) -> StackState:
        """Return the state of the stack as a new process reads it."""
        return StackState(self.store, self.stack_id, self.clock)

    def operation(self) -> StackOperation:
        """Return the operation that the stack is in."""
        types = ResourceTypes({THING: self.world.provider})
        around = Surroundings(
            types,
            lambda stack, name: types.provider(name, context_of(stack)),
            lambda stack: self._graphs[stack.goal.template],  # type: ignore[arg-type,return-value]
            InlineWorkers(),
            self.clock,
        )
        return StackOperation(self.state(), around)

    def work(self) -> Stack:
        """Carry out the operation."""
        return self.operation().run()

    def survive(self) -> Stack:
        """Work as a process that nothing kills."""
        self.countdown.left = None
        return self.work()

    def events(self) -> list[tuple[str, str]]:
        """Return logical ids and states of all events."""
        return [(event.logical_id, str(event.status)) for _, event in self.store.events(self.stack_id)]

    def reasons(self, logical_id: str) -> list[str]:
        """Return the reasons in the events of a resource or the stack."""
        return [e.reason for _, e in self.store.events(self.stack_id) if e.logical_id == logical_id and e.reason]


def context_of(stack: Stack) -> StackContext:
    """Return the context of a stack."""
    return StackContext(stack.id, stack.name, stack.owner, stack.region, "000000000000")
