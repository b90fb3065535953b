"""Environment files and secrets of a commit that the daemon deploys."""

from __future__ import annotations

import json

import pytest

from tests.docker.docker_cli import docker
from tests.docker.project import Project, Projects
from tests.docker.serving import serving

pytestmark = pytest.mark.docker

SECRET = "kestrel-over-the-moor"
NAMES = ("FROM_FILE", "OVERRIDDEN", "TOKEN", "COMMIT")


def variables(project: Project) -> dict[str, str | None]:
    """Return the variables of the only container."""
    (container,) = project.containers()
    (found,) = json.loads(docker("inspect", container.id))
    everything = dict(each.split("=", 1) for each in found["Config"]["Env"])
    return {name: everything.get(name) for name in NAMES}


def test_a_commit_brings_its_files_and_gets_the_secrets_of_the_owner(projects: Projects) -> None:
    """Files that are not committed have no effect, and the value of a secret is in no file of the home."""
    project = projects("shop", 1)
    vault = project.directory / "vault"
    vault.write_text(f"#!/bin/sh\necho TOKEN={SECRET}\n")
    vault.chmod(0o700)
    project.write("app.env", "FROM_FILE=first # a comment\nOVERRIDDEN=file\nTOKEN=placeholder\n")
    environment = "{OVERRIDDEN: file.yaml, COMMIT: '${short_commit}'}"
    project.configure(
        ("name: shop\n", "name: shop\nsecrets: {command: [./vault]}\n"),
        ("deploy:\n", f"deploy:\n  env_file: app.env\n  secrets: all\n  environment: {environment}\n"),
    )
    first = project.commit("1")
    with serving(project) as served:
        served.await_run(1)
        assert variables(project) == {
            "FROM_FILE": "first",
            "OVERRIDDEN": "file.yaml",
            "TOKEN": SECRET,
            "COMMIT": first[:7],
        }
        project.write("app.env", "FROM_FILE=second\n")
        second = project.commit("2")
        project.write("app.env", "FROM_FILE=not committed\n")
        served.await_run(2)
        assert variables(project) == {
            "FROM_FILE": "second",
            "OVERRIDDEN": "file.yaml",
            "TOKEN": SECRET,
            "COMMIT": second[:7],
        }
    files = [path for path in project.home.root.rglob("*") if path.is_file()]
    assert [path for path in files if SECRET.encode() in path.read_bytes()] == []
