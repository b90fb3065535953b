"""The stacks of a home, with a type whose resources are in memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from pipeline.base.home import Home
from pipeline.ecs.ecs import Ecs
from pipeline.stacks.change_sets import ChangeSets
from pipeline.stacks.drifts import Drifts
from pipeline.stacks.goals import StackRequest
from pipeline.stacks.offered import offered_types
from pipeline.stacks.records import Stack
from pipeline.stacks.resource_types import ResourceTypes
from pipeline.stacks.stacks import Stacks
from tests.support.stack_world import THING, World
from tests.support.waiting import DEADLINE

OWNER, REGION = "aws", "eu-west-1"


def template(resources: Mapping[str, str], **sections: str) -> str:
    """Return a template with things. Each value is what is written for its properties, such as `{Size: 1}`."""
    lines = [f"{name}: {text}" for name, text in sections.items()]
    lines.append("Resources:")
    for name, text in resources.items():
        properties = text if text.startswith("{") else f"{{Name: {text}}}"
        lines.append(f"  {name}: {{Type: '{THING}', Properties: {properties}}}")
    return "\n".join(lines) + "\n"


@dataclass
class StackHome:
    """Stacks in a folder. `open` is what a new process does."""

    folder: Path
    world: World = field(default_factory=World)
    zones: Sequence[str] = ("local-a", "local-b")

    def __post_init__(self) -> None:
        self.stacks = self.open()

    @property
    def change_sets(self) -> ChangeSets:
        """The change sets."""
        return ChangeSets(self.stacks)

    @property
    def drifts(self) -> Drifts:
        """The results of drift."""
        return Drifts(self.stacks)

    def open(self) -> Stacks:
        """Open the stacks."""

        def types(stacks: Stacks) -> ResourceTypes:
            return ResourceTypes({THING: self.world.provider, **offered_types(stacks, Ecs(Home(self.folder))).makers})

        return Stacks(self.folder / "penstock.db", self.folder / "locks", types, self.zones)

    def create(self, name: str, text: str, parameters: Mapping[str, str] | None = None, **options: Any) -> Stack:
        """Create a stack, and wait for it."""
        request = StackRequest(text, parameters or {}, folder=str(self.folder))
        return self.end(self.stacks.create(OWNER, REGION, name, request, **options).id)

    def update(self, name: str, text: str | None, parameters: Mapping[str, object] | None = None) -> Stack:
        """Update a stack, and wait for it."""
        request = StackRequest(text, parameters or {}, folder=str(self.folder))
        return self.end(self.stacks.update(OWNER, name, request).id)

    def delete(self, name: str) -> Stack:
        """Delete a stack, and wait for it."""
        stack = self.stacks.find(OWNER, name)
        self.stacks.delete(OWNER, name)
        return self.end(stack.id)

    def end(self, stack_id: str) -> Stack:
        """Wait for the end of an operation."""
        stack = self.stacks.wait(stack_id, timedelta(seconds=DEADLINE))
        assert not stack.status.in_progress
        return stack

    def sizes(self) -> dict[str, object]:
        """Return the sizes of all things by their logical names."""
        return {thing.token.split("-")[-2]: thing.properties["Size"] for thing in self.world.things.values()}

    def reasons(self, name: str) -> list[str]:
        """Return all reasons in the events of a stack."""
        stack = self.stacks.find(OWNER, name)
        return [event.reason for _, event in self.stacks.store.events(stack.id) if event.reason]
