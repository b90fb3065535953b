"""Projects for tests with a real Docker Engine."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from pipeline.base.home import Home
from tests.docker.project import Project, Projects
from tests.docker.remains import describe, instructions
from tests.support.kept import PROPERTY

FIRST_PROJECT = pytest.StashKey[int]()


def pytest_configure(config: pytest.Config) -> None:
    """Set `Project.keep` from the option `--keep`."""
    Project.keep = config.getoption("keep")


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Store the number of projects before the test, so that the later ones belong to it."""
    item.stash[FIRST_PROJECT] = len(Project.created)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add the projects of a failed test to its report, and with `--keep` the commands that show them."""
    report = yield
    # A skipped test has stored none.
    projects = Project.created[item.stash.get(FIRST_PROJECT, len(Project.created)) :]
    if report.failed and report.when != "teardown":
        homes = {project.home: project.final_state or describe(project.home) for project in projects}
        report.sections += [("home of the test", text) for text in homes.values()]
    if Project.keep and report.when == "teardown":
        texts = [instructions(project.directory, project.home) for project in projects]
        report.user_properties += [(PROPERTY, text) for text in texts]
    return report


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
    """A project whose version 1 is the active release 1."""
    project.pipeline("run")
    return project
