"""The requests that activators hold and have passed on, in files that outlive any reader: one for each group.

So a daemon that has just started sees that requests are held, and a drain counts what an activator has passed on.
"""

from __future__ import annotations

import json
import os
from collections import Counter, defaultdict
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from pipeline.balancer.haproxy.naming import ACTIVATOR_FOLDER
from pipeline.base.small_file import read_small_file


@dataclass
class HoldingCounts:
    """The requests of one group: those that are `held`, and those that were passed on and are open, by endpoint."""

    held: int = 0
    passed: Counter[str] = field(default_factory=Counter)


def process_name(pid: int) -> str:
    """Return the end of the names of a process's files: its pid and its start time. Empty if it does not run.

    A pid alone is reused: after a restart of a container, mostly by the next activator.
    """
    try:
        # The name of the program, in parentheses, may have spaces.
        fields = read_small_file(f"/proc/{pid}/stat").rpartition(b")")[2].split()
        state, started = fields[0], fields[19]
    except (OSError, IndexError):
        return ""
    return "" if state in (b"Z", b"X") else f"{pid}-{started.decode()}"


class CountWriter:
    """The counts of one activator, which is the current process. Each change is in the file when a call returns."""

    def __init__(self, directory: Path) -> None:
        self._folder = directory / ACTIVATOR_FOLDER
        self._folder.mkdir(mode=0o700, exist_ok=True)
        self._process = process_name(os.getpid())
        _remove_stale(self._folder, self._process)

    def write(self, group: str, counts: HoldingCounts) -> None:
        """Store the counts of a group. On a full disk, the file stays as it was: requests are held all the same."""
        path = self._folder / f"{group}.{self._process}"
        passed = {endpoint: count for endpoint, count in counts.passed.items() if count}
        with suppress(OSError):
            if not counts.held and not passed:
                path.unlink(missing_ok=True)
                return
            # Not by `write_atomically`, which waits for the disk. After a crash of the machine, nothing is held.
            draft = self._folder / f".{path.name}"
            draft.write_text(json.dumps({"held": counts.held, "passed": passed}))
            draft.replace(path)


def read_counts(directory: Path, groups: Collection[str]) -> defaultdict[str, HoldingCounts]:
    """Return the counts of those of these groups that have any, over all activators that run."""
    found = defaultdict[str, HoldingCounts](HoldingCounts)
    with suppress(OSError):
        for path in (directory / ACTIVATOR_FOLDER).iterdir():
            group, _, process = path.name.rpartition(".")
            if group in groups and _runs(process):
                _add(found[group], path)
    return found


def _add(counts: HoldingCounts, path: Path) -> None:
    # The file may be gone by now, and its process too.
    with suppress(OSError, ValueError, KeyError, TypeError):
        entry = json.loads(path.read_text())
        counts.held += entry["held"]
        counts.passed.update(entry["passed"])


def _remove_stale(folder: Path, starting: str) -> None:
    """Remove the files of processes that do not run. `starting` has none yet, so its own are of an earlier boot."""
    for path in folder.iterdir():
        process = path.name.rpartition(".")[2]
        if process == starting or not _runs(process):
            path.unlink(missing_ok=True)


def _runs(process: str) -> bool:
    pid = process.partition("-")[0]
    return pid.isdecimal() and process_name(int(pid)) == process
