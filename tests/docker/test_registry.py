"""An image is pushed to a registry by one pipeline, and deployed from it by another."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.docker.docker_cli import docker
from tests.docker.get import get
from tests.docker.project import Project, Projects
from tests.support.registry import registry

pytestmark = pytest.mark.docker


def variables(project: Project) -> list[dict[str, str]]:
    """Return the environment of each container of a project."""
    found = json.loads(docker("inspect", *(container.id for container in project.containers())))
    return [dict(each.split("=", 1) for each in container["Config"]["Env"]) for container in found]


def taker(project: Project, folder: Path, image: str) -> Project:
    """Create a second pipeline of the home, which deploys an image that was built elsewhere."""
    other = Project(folder, project.base_image, project.home, name="copy", replicas=1).create()
    text = (folder / "pipeline.yaml").read_text()
    before, _, rest = text.partition("build:\n")
    _, _, after = rest.partition("deploy:\n")
    more = f"  image: '{image}'\n  env_file: app.env\n  environment: {{RUN: '${{run}}', RELEASE: '${{release}}'}}\n"
    other.write("pipeline.yaml", f"{before}deploy:\n{more}{after}")
    other.write("app.env", "FROM_FILE='$1'\n")
    return other


def version(project: Project) -> str:
    return get(project).partition(" on ")[0]


def test_an_image_goes_from_one_pipeline_to_another(projects: Projects, tmp_path: Path) -> None:
    """By a registry that needs credentials, and by its digest. A refused push deploys nothing."""
    project = projects("shop", 1)
    with registry(tmp_path / "registry", "ann", "hunter2") as found:
        login = str(found.config(tmp_path / "login"))
        names = f"['{found.address}/shop:${{short_commit}}', '{found.address}/shop:${{branch}}']"
        project.configure(("build:\n", f"build:\n  push: {names}\n  labels: {{commit: '${{commit}}'}}\n"))
        project.commit()
        refused = project.pipeline("run", code=1, DOCKER_CONFIG=str(found.config(tmp_path / "wrong", "guess")))
        assert f"{found.address} refused the push of {found.address}/shop:" in refused.out + refused.err
        assert project.containers() == []
        run = project.pipeline("run", DOCKER_CONFIG=login)
        digest = found.digest("shop", "main")
        assert f"pushed {found.address}/shop:main, digest {digest}" in run.out
        assert len({reference for _, reference in found.manifests}) == 3
        other = taker(project, tmp_path / "other", f"{found.address}/shop@{digest}")
        try:
            _deploy_elsewhere(other, login)
        finally:
            other.remove()
            for name in docker("image", "ls", "--format", "{{.Repository}}:{{.Tag}}", f"{found.address}/shop").split():
                docker("image", "rm", name.replace("<none>", "main"))
    assert docker("image", "ls", "--quiet", f"{found.address}/shop") == ""


def _deploy_elsewhere(other: Project, login: str) -> None:
    """Deploy by the digest, without and with credentials."""
    denied = other.pipeline("run", code=1)
    assert "cannot be pulled" in denied.out + denied.err
    other.pipeline("run", DOCKER_CONFIG=login)
    assert version(other) == "sample-app 1"
    assert {(each["RUN"], each["RELEASE"], each["FROM_FILE"]) for each in variables(other)} == {("2", "1", "$1")}
    other.pipeline("down")
