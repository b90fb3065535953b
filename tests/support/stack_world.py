"""Resources that exist only in memory, for tests of stacks: a provider, a template as a graph, and workers in line."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from pydantic import ConfigDict, Field

from pipeline.base.errors import ConfigError
from pipeline.base.schema import Model
from pipeline.stacks.provider import Pending, StackContext, State
from pipeline.stacks.template import DeclaredResource, Output

THING = "Test::World::Thing"


class ThingProperties(Model):
    """Properties of a thing. `Uses` are physical ids of others."""

    model_config = ConfigDict(coerce_numbers_to_str=True)

    Size: int = 0
    Name: str = ""
    Uses: list[str] = Field(default_factory=list)


@dataclass
class Thing:
    """A resource of the world. `calls` counts the calls since the last change, for those that stay pending."""

    token: str
    properties: dict[str, Any]
    version: int = 1


@dataclass
class World:
    """What the providers of a test have made.

    `on_call` is called with the name of each call that changes something, before and after it. It may raise.
    `polls` is the number of times that each call is pending first.
    """

    things: dict[str, Thing] = field(default_factory=dict)
    on_call: Callable[[str, str], None] = lambda _call, _when: None
    polls: int = 0
    interval: timedelta = timedelta(milliseconds=10)
    calls: list[tuple[str, str]] = field(default_factory=list)
    created: list[str] = field(default_factory=list)
    failing: set[str] = field(default_factory=set)
    """Names of properties `Name` whose create and update fail, after the change was made."""
    undeletable: set[str] = field(default_factory=set)
    """Ids or logical names of things that cannot be deleted."""
    waiting: dict[str, Callable[[], bool]] = field(default_factory=dict)
    """Names of properties `Name` whose updates wait for others of the stack, until the function returns True."""
    given_up: list[str] = field(default_factory=list)
    """The names of those for which nobody has done anything."""
    violations: list[str] = field(default_factory=list)
    """What no operation may do."""
    _pending: dict[tuple[str, str], int] = field(default_factory=dict)
    _lock: threading.RLock = field(default_factory=threading.RLock)

    def snapshot(self) -> dict[str, dict[str, Any]]:
        """Return the properties of all things by their ids."""
        return {physical_id: dict(thing.properties) for physical_id, thing in sorted(self.things.items())}

    def provider(self, context: StackContext) -> ThingProvider:
        """Return the provider for a stack."""
        return ThingProvider(self, context)

    def change(self, call: str, physical_id: str, apply: Callable[[], None]) -> bool:
        """Apply a change in the first of `polls` + 1 calls. Return whether the call is pending."""
        self.on_call(call, "before")
        with self._lock:
            apply()
            self.calls.append((call, physical_id))
            self.on_call(call, "after")
            left = self._pending.setdefault((call, physical_id), self.polls)
            if left == 0:
                del self._pending[call, physical_id]
            else:
                self._pending[call, physical_id] = left - 1
            return left > 0

    def settle(self) -> None:
        """Let no call be pending any more."""
        with self._lock:
            self.polls = 0
            self._pending.clear()

    def check_uses(self, properties: ThingProperties) -> None:
        """Fail if a thing that is used does not exist."""
        if missing := set(properties.Uses) - self.things.keys():
            self.violations.append(f"{sorted(missing)} are used and do not exist")

    def check_unused(self, physical_id: str) -> None:
        """Fail if another thing uses this one."""
        users = [i for i, thing in self.things.items() if physical_id in thing.properties["Uses"]]
        if users:
            self.violations.append(f"{physical_id} is deleted and used by {users}")


class ThingProvider:
    """The provider of things. `Name` cannot be changed."""

    properties = ThingProperties
    replaces = frozenset({"Name"})

    def __init__(self, world: World, context: StackContext) -> None:
        self._world = world
        self._context = context

    def create(self, token: str, properties: ThingProperties) -> State | Pending:
        """Make a thing."""
        physical_id = f"thing-{token}"

        def apply() -> None:
            self._world.check_uses(properties)
            if physical_id not in self._world.things:
                if token in self._world.created:
                    self._world.violations.append(f"{token} is created twice")
                self._world.created.append(token)
                self._world.things[physical_id] = Thing(token, properties.model_dump())

        pending = self._world.change("create", physical_id, apply)
        self._check(properties)
        return Pending("growing", physical_id, self._world.interval) if pending else self._state(physical_id)

    def find(self, token: str) -> str | None:
        """Find a thing."""
        return next((i for i, thing in self._world.things.items() if thing.token == token), None)

    def read(self, physical_id: str) -> State | None:
        """Read a thing."""
        return self._state(physical_id) if physical_id in self._world.things else None

    def update(self, physical_id: str, before: ThingProperties, after: ThingProperties) -> State | Pending:
        """Change a thing."""
        if before.Name != after.Name:
            self._world.violations.append(f"{physical_id} is updated and needs a new one")

        def apply() -> None:
            self._world.check_uses(after)
            if physical_id not in self._world.things:
                raise ConfigError(f"{physical_id} does not exist")
            self._world.things[physical_id].properties = after.model_dump()

        pending = self._world.change("update", physical_id, apply)
        self._check(after)
        if pending:
            return Pending("changing", interval=self._world.interval)
        is_done = self._world.waiting.get(after.Name)
        if is_done is None or is_done():
            return self._state(physical_id)

        def give_up() -> State:
            self._world.given_up.append(after.Name)
            return self._state(physical_id)

        return Pending("waiting for others", interval=self._world.interval, otherwise=give_up)

    def delete(self, physical_id: str) -> Pending | None:
        """Delete a thing."""

        def apply() -> None:
            self._world.check_unused(physical_id)
            if self._world.undeletable & {physical_id, *physical_id.split("-")}:
                raise ConfigError("cannot be deleted")
            self._world.things.pop(physical_id, None)

        return (
            Pending("shrinking", interval=self._world.interval)
            if self._world.change("delete", physical_id, apply)
            else None
        )

    def _check(self, properties: ThingProperties) -> None:
        if properties.Size in (13, "13") or properties.Name in self._world.failing:
            raise ConfigError("is unlucky")

    def _state(self, physical_id: str) -> State:
        properties = self._world.things[physical_id].properties
        return State(physical_id, {"Size": str(properties["Size"])}, properties, reason="a thing in memory")


@dataclass(frozen=True)
class Node:
    """A resource of a graph. `uses` are the names of the resources whose ids are in its properties."""

    size: int = 0
    name: str = ""
    uses: tuple[str, ...] = ()
    deletion_policy: str = "Delete"
    update_replace_policy: str = "Delete"
    type: str = THING


class Graph:
    """An evaluated template that is given as a graph. It has the methods of `Evaluated`."""

    def __init__(self, nodes: Mapping[str, Node], exports: Mapping[str, str] | None = None) -> None:
        self.nodes = dict(nodes)
        self.resources = {name: _declared(name, node) for name, node in nodes.items()}
        self.order = tuple(_order(nodes))
        self.imports: frozenset[str] = frozenset()
        self.exports = dict(exports or {})
        self.parameters: Mapping[str, str] = {}

    def resolve(self, name: str, attributes: Callable[[str, str | None], Any]) -> dict[str, Any]:
        """Return the properties."""
        node = self.nodes[name]
        return {"Size": str(node.size), "Name": node.name, "Uses": [attributes(used, None) for used in node.uses]}

    def outputs(self, attributes: Callable[[str, str | None], Any]) -> dict[str, Output]:
        """Return an output for each export, the id of a resource."""
        return {export: Output(export, attributes(name, None), "", export) for export, name in self.exports.items()}


def _declared(name: str, node: Node) -> DeclaredResource:
    return DeclaredResource(
        name, node.type, {}, node.uses, node.deletion_policy, node.update_replace_policy, None, None, None, 1, 1
    )


def _order(nodes: Mapping[str, Node]) -> Iterator[str]:
    done: set[str] = set()

    def visit(name: str) -> Iterator[str]:
        if name not in done:
            done.add(name)
            for used in nodes[name].uses:
                yield from visit(used)
            yield name

    for name in nodes:
        yield from visit(name)


class InlineWorkers(Executor):
    """Makes each call at once, in the thread that submits it."""

    def submit(self, function: Callable[..., Any], /, *arguments: Any, **keywords: Any) -> Future[Any]:
        """Call a function."""
        future: Future[Any] = Future()
        try:
            future.set_result(function(*arguments, **keywords))
        except BaseException as error:  # noqa: BLE001  # a future keeps every error
            future.set_exception(error)
        return future
