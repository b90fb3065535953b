"""The privileges of containers on a real engine: by default, loosened by pipeline.yaml, and after an upgrade."""

from __future__ import annotations

import json
import secrets
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from tests.docker.project import Project, Projects, docker, until
from tests.docker.serving import serving

pytestmark = pytest.mark.docker

# The numbers of the capabilities in the kernel's sets.
DEFAULT = {0, 1, 3, 4, 5, 6, 7, 8, 10, 18, 31}
NET_RAW, MKNOD, AUDIT_WRITE = 13, 27, 29
DOCKER = DEFAULT | {NET_RAW, MKNOD, AUDIT_WRITE}
GRACE = "  stop_grace: 5s\n"
TESTS = "  test: {command: [python3, -m, unittest], timeout: 30s}\n"
# The application without `USER nobody`.
ROOT = "ARG BASE_IMAGE\nFROM $BASE_IMAGE\nWORKDIR /app\nCOPY . .\n"
# Starts up to 300 processes and prints how many it got. All of them end with it.
FORKS = """\
import os, signal
started = []
try:
    while len(started) < 300:
        if (child := os.fork()) == 0:
            signal.pause()
        started.append(child)
except BlockingIOError:
    pass
print(len(started))
for child in started:
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
"""
# An entry point that starts as root, takes a folder over, binds a port below 1024 and becomes another user, as nginx.
DROPS = """\
import os, socket
os.mkdir("/data/cache")
os.chown("/data/cache", 65534, 65534)
socket.create_server(("127.0.0.1", 80)).close()
os.setgroups([])
os.setgid(65534)
os.setuid(65534)
open("/data/cache/file", "w").close()
os.execvp("python3", ["python3", "-u", "app.py"])
"""


def as_root(project: Project, keys: str, program: str = "app.py", *changes: tuple[str, str]) -> None:
    """Let the application start as root, with more keys in `deploy`."""
    project.write("Dockerfile", f'{ROOT}CMD ["python3", "-u", "{program}"]\n')
    project.configure((GRACE, f"{GRACE}{keys}"), *changes)


def status(container: str) -> tuple[set[int], set[int], str]:
    """Return the effective and the bounding capabilities of a container's first process, and NoNewPrivs."""
    lines = docker("exec", container, "cat", "/proc/1/status").splitlines()
    fields = dict(line.split(":\t", 1) for line in lines)
    effective, bounding = (
        {bit for bit in range(64) if int(fields[name], 16) >> bit & 1} for name in ("CapEff", "CapBnd")
    )
    return effective, bounding, fields["NoNewPrivs"]


def forks(container: str) -> int:
    """Return how many of 300 processes a container can start beside its own."""
    return int(docker("exec", container, "python3", "-c", FORKS))


def test_a_container_has_few_privileges(service: Project) -> None:
    """The application of the sample runs as nobody. Neither it nor a program that it starts can have more."""
    for container in service.containers():
        assert status(container.id) == (set(), DEFAULT, "1")
        assert json.loads(docker("inspect", container.id))[0]["HostConfig"]["PidsLimit"] == 4096


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ("", (DEFAULT, "1")),
        ("  cap_drop: [ALL]\n  cap_add: [NET_BIND_SERVICE]\n", ({10}, "1")),
        ("  cap_add: [NET_RAW]\n  cap_drop: [SYS_CHROOT]\n", (DEFAULT - {18} | {NET_RAW}, "1")),
        ("  cap_add: [CAP_SYS_ADMIN]\n  no_new_privileges: false\n", (DEFAULT | {21}, "0")),
    ],
)
def test_pipeline_yaml_sets_the_privileges(project: Project, keys: str, expected: tuple[set[int], str]) -> None:
    """The kernel shows the capabilities of a program that runs as root, and whether it may gain others."""
    as_root(project, keys)
    project.commit("1")
    project.pipeline("run")
    for container in project.containers():
        effective, bounding, no_new_privileges = status(container.id)
        assert (effective, no_new_privileges) == expected
        assert bounding == effective


def test_a_fork_bomb_is_bounded_and_the_service_goes_on(project: Project) -> None:
    """A container starts no more processes than its limit, serves meanwhile, and its neighbour has its own limit."""
    project.configure((GRACE, f"{GRACE}  pids_limit: 40\n"))
    project.commit("1")
    project.pipeline("run")
    with project.load() as load:
        started = [forks(container.id) for container in project.containers()]
        assert load.stop().failed == 0
    assert all(20 < count < 40 for count in started)
    project.configure((GRACE, f"{GRACE}  pids_limit: -1\n"))
    project.pipeline("run")
    assert [forks(container.id) for container in project.containers()] == [300, 300]


@pytest.fixture
def volume(base_image: str) -> Iterator[str]:
    """A volume. Requested before the project, so that it is removed after it."""
    name = f"penstock-test-{secrets.token_hex(4)}"
    yield name
    docker("volume", "rm", "-f", name)


def test_an_image_that_starts_as_root_and_drops_it(volume: str, projects: Projects) -> None:
    """The default capabilities suffice to own a volume, bind a low port and become another user, as nginx does."""
    project = projects(replicas=1)
    project.write("start.py", DROPS)
    as_root(project, f"  volumes: ['{volume}:/data']\n", "start.py")
    project.commit("1")
    project.pipeline("run")
    (container,) = project.containers()
    assert status(container.id) == (set(), DEFAULT, "1")
    assert docker("exec", container.id, "stat", "-c", "%u", "/data/cache/file") == "65534\n"


MAKES_NODE = "import os; os.mknod('/tmp/node', 0o20600, os.makedev(1, 3))"


def needing_mknod(step: str, image: str, **added: list[str]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the keys of `deploy` and of `build.test` of a pipeline of which one step needs MKNOD."""
    makes_node = ["python3", "-c", MAKES_NODE]
    if step == "tests":
        return {}, {"command": makes_node, **added}
    if step == "service":
        service = {"image": image, "command": [*makes_node[:2], f"{MAKES_NODE}; import time; time.sleep(60)"], **added}
        return {}, {"command": ["sleep", "1"], "services": {"db": service}, "retry": {"infrastructure": 0}}
    release_command = {"release_command": {"command": makes_node}} if step == "release command" else {}
    return {**release_command, **added}, {"command": ["true"]}


@pytest.mark.parametrize(
    ("step", "section", "release"),
    [
        ("replica", "deploy", 2),
        ("release command", "deploy", 2),
        ("tests", "build.test", 1),
        ("service", "build.test.services.db", 1),
    ],
)
def test_a_program_that_needs_a_capability(project: Project, step: str, section: str, release: int) -> None:
    """The error names the key, and with the key the program runs."""
    project.write("start.py", f"{MAKES_NODE}\nos.execvp('python3', ['python3', '-u', 'app.py'])\n")

    def run(code: int, **added: list[str]) -> str:
        deploy, tests = needing_mknod(step, project.base_image, **added)
        keys = "".join(f"  {key}: {json.dumps(value)}\n" for key, value in deploy.items())
        as_root(project, keys, "start.py" if step == "replica" else "app.py", (TESTS, f"  test: {json.dumps(tests)}\n"))
        project.commit("1")
        return project.pipeline("run", code=code).err

    error = run(1)
    assert "Operation not permitted" in error
    hint = f"if it needs a capability that its container does not have, name it in {section}.cap_add"
    assert f"hint: {hint}\n" in error, error
    run(0, cap_add=["MKNOD"])
    project.assert_serving(release)


def stored_by_version_1(project: Project) -> None:
    """Rewrite the active release as version 0.1.0 stored it."""
    with closing(sqlite3.connect(project.home.database)) as database, database:
        number, text = database.execute("SELECT number, spec FROM releases").fetchone()
        spec = json.loads(text)
        deploy = spec.pop("services")["web"] | {"replicas": project.replicas}
        del spec["version"]
        for key in ("pids_limit", "cap_add", "cap_drop", "no_new_privileges"):
            del deploy[key]
        database.execute("UPDATE releases SET spec = ?", (json.dumps({**spec, "deploy": deploy}),))
    assert number == 1


UNLIMITED = "  pids_limit: -1\n  cap_add: [AUDIT_WRITE, MKNOD, NET_RAW]\n  no_new_privileges: false\n"


def test_a_release_of_version_1_keeps_what_it_had(project: Project) -> None:
    """Its containers stay, also when it is scaled. A repair and a rollback start more of the same kind."""
    as_root(project, UNLIMITED)
    project.commit("1")
    project.pipeline("run")
    as_root(project, "")
    stored_by_version_1(project)
    before = {container.name for container in project.containers()}
    with serving(project) as served:
        served.await_run(1)
        gone = sorted(before)[0]
        docker("rm", "-f", gone)
        served.await_event("reconcile.repaired")
        until(lambda: len(project.containers()) == 2, "both containers")
        assert before & {container.name for container in project.containers()} == before - {gone}
    kept = {container.name for container in project.containers()}
    project.configure(("replicas: 2", "replicas: 3"))
    project.pipeline("run")
    project.assert_serving(release=1, replicas=3)
    assert kept < {container.name for container in project.containers()}
    assert [status(container.id) for container in project.containers()] == [(DOCKER, DOCKER, "0")] * 3
    project.commit("2")
    project.pipeline("run")
    assert [status(container.id) for container in project.containers()] == [(DEFAULT, DEFAULT, "1")] * 3
    project.pipeline("rollback", "1")
    project.assert_serving(release=1, replicas=3)
    assert [status(container.id) for container in project.containers()] == [(DOCKER, DOCKER, "0")] * 3
