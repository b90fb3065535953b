"""A store beside the service: started by a deployment, upgraded, killed, backed up, taken down and restored."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.engine.container import Container
from pipeline.engine.labels import ROLE_ACCESSORY
from tests.docker.docker_cli import docker
from tests.docker.project import Project, Projects, until
from tests.docker.serving import serving

VERSIONS = ("1", "2", "bad")
pytestmark = [pytest.mark.docker, pytest.mark.timeout(180)]

# The version of an image is in a variable. A bad one exits.
_SERVE = (
    'test "$VERSION" != bad || { echo "unknown format of data"; exit 3; }; exec python3 -m http.server 8000 -d /data'
)
_CHECK = "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/')"
ACCESSORIES = f"""\
accessories:
  store:
    image: IMAGE
    command: [sh, -c, {json.dumps(_SERVE)}]
    init: true
    volumes: [VOLUME:/data]
    health_check: {{command: [python3, -c, {json.dumps(_CHECK)}], interval: 1s, unhealthy_threshold: 2}}
    start_timeout: 20s
    stop_grace: 2s
    backup: {{command: [cat, /data/rows], keep: 2}}
    restore: {{command: [sh, -c, "cat > /data/rows"]}}
"""


class StoreProject:
    """A project with an accessory whose image has several versions."""

    def __init__(self, project: Project) -> None:
        self.project = project
        self.tag = secrets.token_hex(3)
        folder = project.directory.parent / "store"
        folder.mkdir()
        for version in VERSIONS:
            (folder / "Dockerfile").write_text(f"FROM {project.base_image}\nENV VERSION={version}\n")
            docker("build", "-q", "-t", self.image(version), str(folder))
        self.write("1")

    def image(self, version: str) -> str:
        """Return the name of a version's image."""
        return f"penstock-test-store:{self.tag}-{version}"

    @property
    def volume(self) -> str:
        """The volume with the data."""
        return f"penstock-test-{self.tag}"

    def write(self, version: str) -> None:
        """Write a pipeline.yaml with this version of the accessory. Tests of the image would only take time."""
        text = ACCESSORIES.replace("IMAGE", self.image(version)).replace("VOLUME", self.volume)
        tests = "  test: {command: [python3, -m, unittest], timeout: 30s}\n"
        self.project.configure((tests, ""), ("deploy:\n", f"{text}deploy:\n"))

    def accessory(self, *arguments: str, code: int | None = 0) -> str:
        """Run `pipeline accessory ARGUMENTS`, and return its output and its errors."""
        result = self.project.pipeline("accessory", *arguments, code=code)
        return result.out + result.err

    def containers(self) -> list[Container]:
        """Return the containers of the accessory."""
        return self.project.containers(ROLE_ACCESSORY)

    def add_row(self, text: str) -> None:
        """Add a row to the data."""
        self.accessory("exec", "store", "--", "sh", "-c", f"echo {text} >> /data/rows")

    def rows(self) -> str:
        """Return the data, as a container of the service gets it by the accessory's name."""
        web = next(each.name for each in self.project.containers())
        read = "import urllib.request; print(urllib.request.urlopen('http://store:8000/rows').read().decode(), end='')"
        return docker("exec", web, "python3", "-c", read)

    def assert_one(self, version: str) -> Container:
        """Assert that the only container runs this version and is healthy."""
        (found,) = self.containers()
        assert (found.state, found.health) == ("running", "healthy")
        assert found.image == docker("image", "inspect", "-f", "{{.Id}}", self.image(version)).strip()
        return found


@pytest.fixture
def store(projects: Projects) -> Iterator[StoreProject]:
    """A project whose version 1 is deployed, with a store that has one row."""
    project = projects("shop", 1)
    made = StoreProject(project)
    try:
        project.pipeline("run")
        made.assert_one("1")
        made.add_row("first")
        yield made
    finally:
        project.remove()
        docker("volume", "rm", "-f", made.volume)
        docker("rmi", *map(made.image, VERSIONS))


def test_the_life_of_an_accessory(store: StoreProject) -> None:
    """Backups and named volumes outlive an upgrade that fails, one that works, and a down."""
    project = store.project
    kinds = [json.loads(line)["kind"] for line in project.pipeline("events", "--json").out.splitlines()]
    assert kinds.index("accessory.started") < kinds.index("container.starting")
    assert store.rows() == "first\n"
    store.accessory("backup", "store")
    store.add_row("second")

    before = store.assert_one("1")
    store.write("bad")
    assert "accessory store differs from pipeline.yaml in image" in project.pipeline("plan").out
    failed = store.accessory("upgrade", "store", code=1)
    assert "accessory store exited with code 3" in failed
    assert "unknown format of data" in failed
    assert store.assert_one("1").id == before.id
    store.write("2")
    store.accessory("upgrade", "store")
    assert store.assert_one("2").id != before.id
    assert store.rows() == "first\nsecond\n"

    project.pipeline("down")
    assert store.containers() == []
    project.assert_gone()
    project.pipeline("run", "--force")
    assert store.rows() == "first\nsecond\n"
    (folder,) = (project.home.root / "backups" / "shop" / "store").glob("*.backup")
    assert Path(folder).read_text() == "first\n"
    assert "confirm it with --yes" in store.accessory("restore", "store", code=2)
    store.accessory("restore", "store", "--yes")
    assert store.rows() == "first\n"


def test_a_deployment_starts_accessories_and_replaces_none(store: StoreProject) -> None:
    """A new accessory replaces no container of the service. One that does not start leaves the release as it is."""
    project, file = store.project, store.project.directory / "pipeline.yaml"
    before = {each.id for each in (*project.containers(), *store.containers())}
    text = file.read_text()
    other = text[text.index("  store:") : text.index("deploy:")].replace("store:", "other:", 1)
    file.write_text(text.replace("deploy:\n", f"{other}deploy:\n", 1))
    project.pipeline("run")
    after = {each.id for each in (*project.containers(), *store.containers())}
    assert (before <= after, len(after - before)) == (True, 1)
    assert json.loads(store.accessory("list", "--json"))[0]["name"] == "other"

    store.accessory("stop", "store")
    bad = other.replace("other:", "third:", 1).replace(store.image("1"), store.image("bad"))
    file.write_text(file.read_text().replace("deploy:\n", f"{bad}deploy:\n", 1))
    project.commit("2")
    failed = project.pipeline("run", code=1)
    assert "accessory third exited with code 3; release 1 stays active" in failed.err
    assert "unknown format of data" in failed.err
    project.assert_serving(1)
    # A deployment starts what its services need.
    assert {each["name"]: each["state"] for each in json.loads(store.accessory("list", "--json"))} == {
        "other": "running",
        "store": "running",
        "third": "not started",
    }


def test_a_killed_upgrade_is_completed_or_taken_back(store: StoreProject) -> None:
    """By the next command or the daemon, with one container on the data. The daemon starts one that was removed."""
    for point, version in (("accessory.stopping", "2"), ("accessory.started", "1")):
        store.write(version)
        store.project.crash(point, "accessory", "upgrade", "store")
        assert len([each for each in store.containers() if each.is_running]) <= 1
        store.accessory("start", "store")
        before = store.assert_one(version)
    assert store.rows() == "first\n"
    store.write("bad")
    store.project.crash("accessory.starting", "accessory", "upgrade", "store")
    with serving(store.project):
        until(lambda: [(c.id, c.health) for c in store.containers()] == [(before.id, "healthy")], "the old container")
        docker("rm", "-f", before.name)
        until(lambda: [c.health for c in store.containers()] == ["healthy"], "a new container")
    store.assert_one("1")
    assert store.rows() == "first\n"
