"""A process that is killed by SIGKILL in the middle of an operation on many resources."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from pipeline.stacks.status import StackStatus
from tests.support.paths import ROOT
from tests.unit.stacks.file_stacks import COUNT, OWNER, begin, open_stacks

MODULE = "tests.unit.stacks.file_stacks"
# Each operation is killed after this share of its events.
SHARES = (0.05, 0.25, 0.5, 0.75, 0.95)


def complete(folder: Path, command: str) -> None:
    """Carry out a command to its end, as a new process does."""
    stacks = open_stacks(folder)
    stacks.wait(begin(stacks, command))
    stacks.close()


def kill(folder: Path, command: str, after: int) -> None:
    """Begin a command, and kill it after so many events."""
    arguments = [sys.executable, "-m", MODULE, str(folder), command]
    with subprocess.Popen(arguments, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for _ in range(after):
            process.stdout.readline()
        os.kill(process.pid, signal.SIGKILL)


def check(folder: Path, wanted: StackStatus, size: int | None) -> None:
    """Check that the stack has its state, and that exactly its files exist. Each was made once."""
    stacks = open_stacks(folder)
    stack = stacks.store.all(OWNER)[0]
    resources = stacks.store.resources(stack.id)
    stacks.close()
    assert stack.status is wanted
    # Without drafts of a file that was being written.
    files = {path.name: json.loads(path.read_text()) for path in (folder / "files").glob("[!.]*")}
    assert files.keys() == {resource.physical_id for resource in resources}
    assert len(files) == (0 if size is None else COUNT)
    assert {found["Size"] for found in files.values()} == (set() if size is None else {size})
    made = Counter(line for line in (folder / "log").read_text().splitlines() if line.startswith("create"))
    assert set(made.values()) <= {1}


@pytest.mark.parametrize("share", SHARES)
@pytest.mark.parametrize(
    ("command", "outcome", "size"),
    [
        ("create", StackStatus.CREATE_COMPLETE, 1),
        ("update", StackStatus.UPDATE_COMPLETE, 2),
        ("fail", StackStatus.UPDATE_ROLLBACK_COMPLETE, 1),
        ("delete", StackStatus.DELETE_COMPLETE, None),
    ],
)
def test_a_killed_operation_is_completed(
    tmp_path: Path, command: str, outcome: StackStatus, size: int | None, share: float
) -> None:
    """The next process goes on or rolls back, nothing is left over, and the stack can be deleted."""
    events = {"create": 3 * COUNT, "update": 2 * COUNT, "fail": 4 * COUNT, "delete": 2 * COUNT}[command]
    if command != "create":
        complete(tmp_path, "create")
    kill(tmp_path, command, int(share * events))
    complete(tmp_path, "resume")
    check(tmp_path, outcome, size)
    if command != "delete":
        complete(tmp_path, "delete")
        check(tmp_path, StackStatus.DELETE_COMPLETE, None)
