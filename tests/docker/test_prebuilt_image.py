"""The example of a stage in a real pipeline: images that another system has built are deployed and rolled back."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from pipeline.engine.labels import LABEL_HOME
from tests.docker.docker_cli import docker
from tests.docker.get import get
from tests.docker.project import Project, Result
from tests.support.examples import install_example
from tests.support.waiting import COMMAND_TIMEOUT

pytestmark = pytest.mark.docker


@dataclass
class OtherSystem:
    """Builds the images of a project's commits, in place of an existing CI."""

    project: Project
    path: str

    @property
    def name(self) -> str:
        """The images' name, without tag. It belongs to this test alone."""
        return f"prebuilt-{self.project.home.id}/shop"

    def build(self, sha: str) -> None:
        """Build the image of a commit."""
        arguments = ("build", "--quiet", "--build-arg", f"BASE_IMAGE={self.project.base_image}", "--tag")
        command = ["docker", *arguments, f"{self.name}:{sha}", "-"]
        subprocess.run(command, input=self.project.archive(), check=True, capture_output=True, timeout=COMMAND_TIMEOUT)

    def pipeline(self, *arguments: str, code: int = 0) -> Result:
        """Run a command of Penstock with the example installed."""
        return self.project.pipeline(*arguments, code=code, PYTHONPATH=self.path)

    def images(self) -> list[str]:
        """Return the names of the images that it has built."""
        return docker("image", "ls", "--format", "{{.Repository}}:{{.Tag}}", self.name).split()


@pytest.fixture
def other_system(project: Project, tmp_path: Path) -> Iterator[OtherSystem]:
    """A project whose images are built elsewhere. Everything that was built is removed afterwards."""
    other = OtherSystem(project, str(install_example("prebuilt_image", tmp_path / "installed")))
    text = (project.directory / "pipeline.yaml").read_text()
    before, _, rest = text.partition("build:\n")
    _, _, after = rest.partition("deploy:\n")
    build = f"build: {{uses: prebuilt, with: {{image: '{other.name}:{{sha}}'}}}}\n"
    project.write("pipeline.yaml", f"{before}{build}deploy:\n{after}")
    yield other
    for image in other.images():
        docker("image", "rm", image)


def version(project: Project) -> str:
    return get(project).partition(" on ")[0]


def test_images_of_another_system_are_deployed(other_system: OtherSystem) -> None:
    """A commit is deployed once its image exists. A commit without one leaves the release, and rollback works."""
    project = other_system.project
    other_system.build(project.commit("1"))
    run = other_system.pipeline("run")
    assert f"from {other_system.name}:" in run.out + run.err
    project.assert_serving(1)
    assert version(project) == "sample-app 1"
    sha = project.commit("2")
    failed = other_system.pipeline("run", code=1)
    assert f"there is no image {other_system.name}:{sha} for this commit" in failed.out + failed.err
    project.assert_serving(1)
    other_system.build(sha)
    other_system.pipeline("run")
    project.assert_serving(2)
    assert version(project) == "sample-app 2"
    other_system.pipeline("rollback")
    project.assert_serving(1)
    assert version(project) == "sample-app 1"
    other_system.pipeline("down")
    project.assert_gone()
    # `down` removes the pipeline's own images, and leaves those of the other system.
    assert docker("image", "ls", "--quiet", "--filter", f"label={LABEL_HOME}={project.home.id}") == ""
    assert len(other_system.images()) == 2


def test_without_the_package_the_stage_is_unknown(other_system: OtherSystem) -> None:
    """The error has the place and the stages that are installed. Nothing is started."""
    failed = other_system.project.pipeline("run", code=2)
    assert "build.uses: unknown stage 'prebuilt' (known: docker)" in failed.err
    assert other_system.project.containers() == []
