"""Projects for tests with a real Docker Engine."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pipeline.home import Home
from tests.docker.project import Project

Projects = Callable[..., Project]


@pytest.fixture
def projects(tmp_path: Path, base_image: str) -> Iterator[Projects]:
    """Make projects that share one home; everything of theirs is removed afterwards."""
    home = Home.locate({"PENSTOCK_HOME": str(tmp_path / "home")})
    made: list[Project] = []

    def make(name: str = "shop", replicas: int = 2) -> Project:
        made.append(Project(tmp_path / name, base_image, home, name, replicas).create())
        return made[-1]

    yield make
    for project in made:
        project.remove()


@pytest.fixture
def project(projects: Projects) -> Project:
    """One project, committed and not yet run."""
    return projects()


@pytest.fixture
def service(project: Project) -> Project:
    """One project whose version 1 is release 1 and serves."""
    project.pipeline("run")
    return project
