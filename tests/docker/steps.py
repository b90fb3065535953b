"""Steps of a run, configured and read back: the tests, their services and the release command."""

from __future__ import annotations

import json
from typing import Any

from pipeline.store.run_log import read_log
from tests.docker.project import Project

TESTS = "  test: {command: [python3, -m, unittest], timeout: 30s}\n"


def configure(project: Project, *changes: tuple[str, str], **tests: Any) -> None:
    """Set `build.test` and commit the change."""
    project.configure((TESTS, f"  test: {json.dumps(tests)}\n" if tests else ""), *changes)
    project.commit("1")


def events(project: Project, kind: str) -> list[tuple[str, dict[str, Any]]]:
    """Return the messages and fields of one kind of event, oldest first."""
    with project.store() as store:
        return [(e.message, dict(e.fields)) for e in store.events.latest(project.name) if e.kind == kind]


def summary(project: Project, run: int, stage: str = "build") -> str:
    """Return the summary of a stage."""
    with project.store() as store:
        return next(s.summary for s in store.runs.stages(project.name, run) if s.name == stage)


def log(project: Project, run: int, stage: str) -> list[str]:
    """Return the lines that a step of a run printed."""
    return [line.text for line in read_log(project.home.run_log(project.name, run)) if line.stage == stage]


def releasing(script: str, more: str = "") -> tuple[str, str]:
    """Return the change of pipeline.yaml that makes `script` the release command."""
    command = json.dumps(["sh", "-c", script])
    return ("deploy:\n", f"deploy:\n  release_command: {{command: {command}{more}}}\n")
