"""Invariants of a pipeline's history, checked in SQLite and by the docker command, without Penstock's code."""

from __future__ import annotations

import json
import sqlite3
import subprocess
from collections import defaultdict
from collections.abc import Sequence
from contextlib import closing
from itertools import pairwise
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from pipeline.base.home import Home
from pipeline.engine.labels import LABEL_HOME, LABEL_RELEASE
from tests.docker.project import DEADLINE, Project, docker, until
from tests.support.waiting import COMMAND_TIMEOUT

_OVER = {"succeeded", "failed", "rolled_back", "superseded", "skipped", "cancelled", "interrupted"}


def rows(home: Home, sql: str, *values: object) -> list[dict[str, Any]]:
    """Return the rows of a query, read from the database file."""
    with closing(sqlite3.connect(f"file:{home.database}?mode=ro", uri=True, timeout=10)) as database:
        database.row_factory = sqlite3.Row
        return [dict(row) for row in database.execute(sql, values)]


def assert_sound(home: Home) -> None:
    """Assert that SQLite's own checks find no error."""
    assert rows(home, "PRAGMA integrity_check") == [{"integrity_check": "ok"}]
    assert rows(home, "PRAGMA foreign_key_check") == []


def assert_each_has_a_run(project: Project, commits: Sequence[str]) -> None:
    """Assert that each commit has exactly one run, in the order of the commits."""
    found = rows(project.home, "SELECT sha FROM runs WHERE pipeline=? ORDER BY number", project.name)
    assert [row["sha"] for row in found] == list(commits)


def assert_true_states(project: Project) -> None:
    """Assert that each run has finished, was deployed if it succeeded, and names a newer run if superseded."""
    runs = rows(project.home, "SELECT * FROM runs WHERE pipeline=?", project.name)
    served = {
        row["run"]
        for row in rows(
            project.home, "SELECT run FROM deployments WHERE pipeline=? AND state='succeeded'", project.name
        )
    }
    for run in runs:
        assert run["state"] in _OVER, run
        assert run["finished_at"], run
        assert (run["state"] == "succeeded") <= (run["number"] in served), run
        assert run["state"] != "superseded" or run["superseded_by"] > run["number"], run
    assert rows(project.home, "SELECT * FROM stages WHERE state='running'") == []
    assert rows(project.home, "SELECT * FROM deployments WHERE state='running'") == []


def assert_deployed_in_order(project: Project, commits: Sequence[str]) -> int:
    """Assert that deployments did not overlap and followed the order of commits. Return their number."""
    sql = (
        "SELECT d.started_at, d.finished_at, r.sha FROM deployments d "
        "JOIN releases r ON r.pipeline=d.pipeline AND r.number=d.to_release WHERE d.pipeline=? ORDER BY d.started_at"
    )
    found = rows(project.home, sql, project.name)
    for earlier, later in pairwise(found):
        assert earlier["finished_at"] <= later["started_at"], (earlier, later)
        assert commits.index(earlier["sha"]) <= commits.index(later["sha"]), (earlier, later)
    return len(found)


def assert_last_is_deployed(project: Project, repository: Path, commit: str) -> None:
    """Assert that the running containers have the files of a commit, which is also the active release."""
    active = rows(project.home, "SELECT * FROM releases WHERE pipeline=? AND state='active'", project.name)
    assert [row["sha"] for row in active] == [commit]
    containers = docker("ps", "-q", "--filter", f"label={LABEL_HOME}={project.home.id}").split()
    assert len(containers) == project.replicas
    names = [name for name in _git(repository, "ls-tree", "--name-only", commit).split() if name.endswith(".txt")]
    wanted = "".join(_git(repository, "show", f"{commit}:{name}") for name in names)
    for container in containers:
        assert docker("exec", container, "cat", *names) == wanted


def assert_no_orphans(project: Project) -> None:
    """Assert that Docker has one network and one container a replica for this home, and nothing else."""
    label = f"label={LABEL_HOME}={project.home.id}"
    form = "{{.Names}} {{.State}} {{.Status}} {{.CreatedAt}} {{.Labels}}"
    found = docker("ps", "-a", "--filter", label, "--format", form).splitlines()
    assert len(found) == project.replicas, "\n".join(found)
    assert len(docker("network", "ls", "-q", "--filter", label).split()) == 1


class DockerEventRecorder:
    """Records when Docker starts and ends containers of one home, while its `with` block runs."""

    def __init__(self, home: Home) -> None:
        filters = ("type=container", f"label={LABEL_HOME}={home.id}", "event=start", "event=die")
        command = ["docker", "events", "--format", "{{json .}}", *(w for f in filters for w in ("--filter", f))]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self._output = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None) -> None:
        self._process.terminate()
        self._output, _unused = self._process.communicate(timeout=COMMAND_TIMEOUT)

    def most_releases_at_once(self) -> int:
        """Return the largest number of releases whose containers ran at the same time."""
        running: dict[str, set[str]] = defaultdict(set)
        most = 0
        for line in self._output.splitlines():
            event = json.loads(line)
            release = event["Actor"]["Attributes"].get(LABEL_RELEASE)
            if release is None or event["Actor"]["Attributes"].get("penstock.role") != "app":
                continue
            if event["status"] == "start":
                running[release].add(event["id"])
            else:
                running[release].discard(event["id"])
            most = max(most, sum(bool(containers) for containers in running.values()))
        return most


def wait_until_idle(project: Project, commit: str | None = None, deadline: float = DEADLINE) -> None:
    """Wait until no run is open, the release is whole and, if given, `commit` has a run."""
    until(lambda: _is_idle(project, commit), "an empty queue and a whole service", deadline=deadline)


def _is_idle(project: Project, commit: str | None) -> bool:
    if commit and not rows(project.home, "SELECT 1 FROM runs WHERE sha=?", commit):
        return False
    open_runs = rows(project.home, "SELECT 1 FROM runs WHERE state IN ('queued', 'running')")
    open_moves = rows(project.home, "SELECT 1 FROM deployments WHERE state='running'")
    if open_runs or open_moves:
        return False
    try:
        with project.store() as store:
            active = store.releases.active(project.name)
        project.assert_serving(active.number if active else 0)
    except (AssertionError, subprocess.SubprocessError):
        return False
    return True


def _git(repository: Path, *arguments: str) -> str:
    return subprocess.run(
        ["git", *arguments], cwd=repository, capture_output=True, text=True, check=True, timeout=COMMAND_TIMEOUT
    ).stdout
