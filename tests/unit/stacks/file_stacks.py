"""A program that works on a stack whose resources are files, so that a test can kill it.

    python -m tests.unit.stacks.file_stacks FOLDER create|update|fail|delete

Prints a line for each event. `fail` is an update whose last resource fails.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from pydantic import Field

from pipeline.base.errors import ConfigError
from pipeline.base.files import write_atomically
from pipeline.stacks.goals import StackRequest
from pipeline.stacks.provider import Pending, Properties, StackContext, State
from pipeline.stacks.resource_types import ResourceTypes
from pipeline.stacks.stacks import Stacks

FILE = "Test::Disk::File"
OWNER = "shop"
COUNT = 60


class FileProperties(Properties):
    """The content of a file. A change of its name needs another file."""

    name: str
    size: int
    uses: list[str] = Field(default_factory=list)


@dataclass(frozen=True)
class FileProvider:
    """Makes files. The log has a line for each file that was made or removed."""

    folder: Path
    context: StackContext
    properties = FileProperties
    replaces = frozenset({"Name"})

    def create(self, token: str, properties: FileProperties) -> State:
        """Write a file."""
        path = self.folder / token
        is_new = not path.exists()
        self._write(path, properties)
        if is_new:
            self._log(f"create {token}")
        return State(token)

    def find(self, token: str) -> str | None:
        """Find a file."""
        return token if (self.folder / token).exists() else None

    def read(self, physical_id: str) -> State | None:
        """Read a file."""
        return State(physical_id) if (self.folder / physical_id).exists() else None

    def update(self, physical_id: str, before: FileProperties, after: FileProperties) -> State:
        """Write a file."""
        self._write(self.folder / physical_id, after)
        return State(physical_id)

    def delete(self, physical_id: str) -> Pending | None:
        """Remove a file."""
        (self.folder / physical_id).unlink(missing_ok=True)
        self._log(f"delete {physical_id}")
        return None

    def _write(self, path: Path, properties: FileProperties) -> None:
        if missing := [used for used in properties.uses if not (self.folder / used).exists()]:
            raise ConfigError(f"uses {missing}, which do not exist")
        write_atomically(path, properties.model_dump_json())
        if properties.size < 0:
            raise ConfigError("is unlucky")

    def _log(self, text: str) -> None:
        with (self.folder.parent / "log").open("a") as log:
            log.write(f"{text}\n")


def template(size: int, name: str, last: int) -> str:
    """Return a template with files that use one another. Every tenth has another name than before."""
    resources = {
        f"F{number}": {
            "Type": FILE,
            "Properties": {
                "Name": name if number % 10 == 0 else "same",
                "Size": last if number == COUNT - 1 else size,
                "Uses": [{"Ref": f"F{number // 4}"}] if number >= 4 else [],
            },
        }
        for number in range(COUNT)
    }
    return json.dumps({"Resources": resources})


TEMPLATES = {"create": template(1, "old", 1), "update": template(2, "new", 2), "fail": template(3, "bad", -1)}


def open_stacks(folder: Path) -> Stacks:
    """Open the stacks in a folder."""
    files = folder / "files"
    files.mkdir(exist_ok=True)
    return Stacks(
        folder / "db", folder / "locks", lambda _: ResourceTypes({FILE: lambda c: FileProvider(files, c)}), ["local-a"]
    )


def begin(stacks: Stacks, command: str) -> str:
    """Begin an operation, and return the ARN of its stack."""
    if command == "create":
        return stacks.create(OWNER, "eu-west-1", "files", StackRequest(TEMPLATES[command])).id
    stack_id = stacks.store.all(OWNER)[0].id
    if command == "resume":
        stacks.jobs.resume()
    elif command == "delete":
        stacks.delete(OWNER, "files")
    else:
        stacks.update(OWNER, "files", StackRequest(TEMPLATES[command]))
    return stack_id


def main() -> None:
    """Carry out a command to its end."""
    stacks = open_stacks(Path(sys.argv[1]))
    stack_id = begin(stacks, sys.argv[2])
    last, ended = 0, False
    while not ended:
        ended = stacks.jobs.wait(stack_id, timedelta(milliseconds=5))
        for number, event in stacks.store.events(stack_id, last):
            last = number
            sys.stdout.write(f"{event.logical_id} {event.status}\n")
        sys.stdout.flush()
    stacks.close()


if __name__ == "__main__":
    main()
